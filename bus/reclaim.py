"""Removing what dead processes left in shared memory.

A segment whose locks nobody holds, and a doorbell that nobody has open, belong to the
dead. Everything else is left alone, so this is safe to run at any time::

    python -m bus.reclaim [INSTANCE]
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable

from bus.directory import Directory
from bus.errors import BusError, SegmentInvalid, SegmentMissing
from bus.layout import State
from bus.names import directory_object, instance_prefix, resolve_instance, stream_of
from bus.segment import list_objects
from bus.segment_posix import attach, path_of
from bus.stream import StreamSegment

__all__ = ["reclaim"]


def reclaim(instance: str | None = None) -> list[str]:
    """Remove the instance's objects that belong to nobody alive.

    Returns:
        Names of the removed objects.

    Raises:
        InvalidName: bad instance name.
        SegmentInvalid: live processes of another version run the instance.
    """
    name = resolve_instance(instance)
    removed: list[str] = []
    directory = _open_directory(name, removed)
    try:
        with directory.exclusive():
            for found in list_objects(instance_prefix(name)):
                if found != directory_object(name) and _remove_if_abandoned(name, found):
                    removed.append(found)
        if removed:
            directory.announce()
        directory.remove_if_unused()
    finally:
        directory.close()
    return removed


def _open_directory(instance: str, removed: list[str]) -> Directory:
    try:
        return Directory(instance)
    except SegmentInvalid:
        name = directory_object(instance)
        if not _remove_dead_segment(name):
            raise
        removed.append(name)
        return Directory(instance)


def _remove_if_abandoned(instance: str, name: str) -> bool:
    path = path_of(name)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISFIFO(mode):
        return _is_silent_bell(path) and _remove(path)
    if "~" in name:
        # A segment that its maker did not live to name: ~PID.RANDOM.
        pid = name.rpartition("~")[2].partition(".")[0]
        return not (pid.isdigit() and os.path.exists(f"/proc/{pid}")) and _remove(path)
    stream = stream_of(instance, name)
    return _remove_dead_segment(name, lambda: _retire(instance, stream) if stream else None)


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _is_silent_bell(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return True
    return False


def _remove_dead_segment(name: str, retire: Callable[[], None] | None = None) -> bool:
    """Remove a segment, readable for this version or not, if nobody holds a lock of it."""
    try:
        mapping = attach(name, 1)
    except SegmentMissing:
        return False
    except SegmentInvalid:
        # Empty or no file at all: nobody can have mapped it.
        return _remove(path_of(name))
    try:
        if mapping.any_locked_elsewhere():
            return False
        if retire is not None:
            retire()
        mapping.unlink()
    finally:
        mapping.close()
    return True


def _retire(instance: str, stream: str) -> None:
    """Tell a reader that attaches at this moment to look the stream up again."""
    with (
        contextlib.suppress(BusError),
        contextlib.closing(StreamSegment.attach(instance, stream)) as segment,
    ):
        segment.state = State.REPLACED


def main(argv: list[str]) -> int:
    """Command line: reclaim one instance and say what went."""
    try:
        removed = reclaim(argv[0] if argv else None)
    except (BusError, OSError) as exc:
        print(f"bus.reclaim: {exc}", file=sys.stderr)
        return 2
    for name in removed:
        print(f"removed {name}")
    print(f"{len(removed)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
