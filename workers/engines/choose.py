"""Which engine a worker uses."""

from __future__ import annotations

import errno
import logging
import sys
from pathlib import Path
from typing import Final

from workers.engines.asyncio_engine import AsyncioEngine
from workers.engines.interface import Engine

__all__ = ["choose_engine"]

log = logging.getLogger(__name__)

_ON_LINUX: Final = sys.platform == "linux"
_SWITCH: Final = Path("/proc/sys/kernel/io_uring_disabled")
_FILTER: Final = (
    "a seccomp filter forbids it (containers have one): allow io_uring_setup and io_uring_enter"
)


def choose_engine(wanted: str) -> Engine:
    """The engine by the name the user chose; called within the running loop.

    Args:
        wanted: ``auto`` takes the fastest that this machine allows. Where io_uring is denied,
            one line in the log says why, and asyncio serves in its place.

    Raises:
        ValueError: for a name that is no engine.
    """
    if wanted not in ("auto", "uring", "asyncio"):
        raise ValueError(f"unknown engine {wanted!r}: use auto, uring or asyncio")
    if wanted == "asyncio" or (wanted == "auto" and not _ON_LINUX):
        return AsyncioEngine()
    reason = "only Linux has it"
    if _ON_LINUX:
        try:
            return _uring()
        except ImportError as exc:
            reason = f"{exc.name or exc} is missing: install numpy"
        except OSError as exc:
            reason = _remedy(exc)
    log.warning("no io_uring, frames go out through asyncio instead: %s", reason)
    return AsyncioEngine()


def _uring() -> Engine:
    from workers.engines.uring.engine import UringEngine

    return UringEngine()


def _remedy(error: OSError) -> str:
    """What keeps the kernel from giving us a ring, and what to do about it."""
    match error.errno:
        case errno.EPERM | errno.EACCES if _switched_off():
            return "it is switched off: set sysctl kernel.io_uring_disabled=0"
        case errno.EPERM | errno.EACCES:
            return _FILTER
        case errno.ENOSYS:
            return f"the kernel has none, or {_FILTER}"
        case errno.EINVAL | errno.EOPNOTSUPP:
            return "the kernel is too old: 6.1 is needed"
        case errno.ENOMEM:
            return "not enough locked memory: raise RLIMIT_MEMLOCK (ulimit -l)"
        case _:
            return f"{error.strerror}; --engine asyncio does without"


def _switched_off() -> bool:
    try:
        return _SWITCH.read_text().strip() != "0"
    except OSError:
        return False
