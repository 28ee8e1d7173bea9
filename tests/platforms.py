"""What tests must know of the system they run on."""

from __future__ import annotations

import struct
import sys
from typing import Final

import psutil
import pytest

from bus.stream import StreamSegment

if sys.platform == "win32":
    from bus.segment_windows import attach as attach_mapping
else:
    from bus.segment_posix import attach as attach_mapping

__all__ = [
    "RESET",
    "WINDOWS",
    "attach_mapping",
    "keep",
    "let_go",
    "open_descriptors",
    "path_of",
    "posix_only",
]

WINDOWS: Final = sys.platform == "win32"
RESET: Final = struct.pack("hh" if WINDOWS else "ii", 1, 0)
"""Value of SO_LINGER with which closing a socket resets its connection."""

posix_only = pytest.mark.skipif(WINDOWS, reason="optional: this is about POSIX")


def path_of(name: str) -> str:
    """The file behind a shared-memory object, for tests that meddle with it.

    There is none on Windows, where such a test is skipped.
    """
    if sys.platform == "win32":
        pytest.skip("optional: no file is behind a segment on Windows")
    from bus import segment_posix

    return segment_posix.path_of(name)


def open_descriptors(pid: int | None = None) -> int:
    """How many descriptors, on Windows handles, a process (this one) has."""
    process = psutil.Process(pid)
    if sys.platform == "win32":
        return process.num_handles()
    return process.num_fds()


_kept: list[StreamSegment] = []


def keep(instance: str, stream: str) -> None:
    """Hold a stream's memory until `let_go`, as a supervisor does on Windows.

    Elsewhere what a dead publisher left needs nobody to hold it.
    """
    if WINDOWS:
        _kept.append(StreamSegment.attach(instance, stream))


def let_go() -> None:
    """End what `keep` began."""
    while _kept:
        _kept.pop().close()
