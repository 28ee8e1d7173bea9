"""Segments as files in /dev/shm, mapped, with open-file-description locks.

Why not `multiprocessing.shared_memory`: its resource tracker unlinks a segment as soon
as any one tracked process ends (cpython#82300), and it cannot tell a full file system
from a working one until a write raises SIGBUS.

* Pages are reserved with posix_fallocate, so a full /dev/shm is an error here and not a
  SIGBUS in the middle of a frame.
* A new file gets its name only when it is complete (link), so nobody maps half a header.
* Locks are F_OFD_SETLK byte ranges beyond any data: they belong to the open file, not to
  the process, so a publisher and a subscriber in one process do not release each other's,
  and the kernel drops them with their holder.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import secrets
import stat
import struct
import sys
from collections.abc import Callable
from typing import Final

from bus.errors import Exhausted, NoSpace, SegmentInvalid, SegmentMissing

assert sys.platform != "win32"

__all__ = ["PosixMapping", "attach", "create", "list_objects", "path_of", "remove_dead"]

VOLATILE: Final = False
SHM_DIRECTORY: Final = "/dev/shm"
_LOCK_BASE: Final = 1 << 40
# struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid.
_FLOCK: Final = "hhqqi4x"


def path_of(name: str) -> str:
    """File that holds the object ``name``."""
    return f"{SHM_DIRECTORY}/{name}"


def list_objects(prefix: str) -> list[str]:
    """Names of all objects that begin with ``prefix`` and belong to this user."""
    found = []
    user = os.geteuid()
    with os.scandir(SHM_DIRECTORY) as entries:
        for entry in entries:
            # A file may vanish between the listing and the look at it.
            with contextlib.suppress(FileNotFoundError):
                if entry.name.startswith(prefix) and entry.stat().st_uid == user:
                    found.append(entry.name)
    return sorted(found)


def create(name: str, size: int) -> PosixMapping:
    """Make a nameless file of ``size`` reserved, zeroed bytes and map it.

    Raises:
        NoSpace: when /dev/shm cannot hold it.
        Exhausted: when this process has no descriptor left.
    """
    temporary = path_of(f"{name}~{os.getpid()}.{secrets.token_hex(4)}")
    fd = _open(name, temporary, os.O_CREAT | os.O_EXCL)
    try:
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
                raise
            status = os.statvfs(SHM_DIRECTORY)
            raise NoSpace(size, status.f_bavail * status.f_frsize, SHM_DIRECTORY) from None
        return PosixMapping(name, fd, temporary)
    except BaseException:
        os.close(fd)
        os.unlink(temporary)
        raise


def _open(name: str, path: str, flags: int) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    except OSError as exc:
        if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise Exhausted(name, exc) from None
        raise


def attach(name: str, minimum: int) -> PosixMapping:
    """Map an existing file of at least ``minimum`` bytes.

    Raises:
        SegmentMissing: when there is none.
        SegmentInvalid: when it is shorter than that, or not ours to read.
        Exhausted: when this process has no descriptor left.
    """
    try:
        fd = _open(name, path_of(name), os.O_NOFOLLOW)
    except FileNotFoundError:
        raise SegmentMissing(name) from None
    except Exhausted:
        raise
    except OSError as exc:
        raise SegmentInvalid(name, (exc.strerror or "it cannot be opened").lower()) from None
    try:
        size = os.fstat(fd).st_size
        if size < minimum:
            raise SegmentInvalid(name, f"it is truncated: {size} bytes")
        return PosixMapping(name, fd, None)
    except BaseException:
        os.close(fd)
        raise


def remove_dead(name: str, before: Callable[[], None]) -> bool:
    """Remove an object if it belongs to nobody alive; whether that removed it.

    Args:
        name: object name.
        before: called when it is known that a segment is dead, before its name goes.
    """
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
    try:
        mapping = attach(name, 1)
    except SegmentMissing:
        return False
    except SegmentInvalid:
        # Empty or no file at all: nobody can have mapped it.
        return _remove(path)
    try:
        if mapping.any_locked_elsewhere():
            return False
        before()
        mapping.unlink()
    finally:
        mapping.close()
    return True


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _is_silent_bell(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as exc:
        return exc.errno == errno.ENXIO
    return False


class PosixMapping:
    """One mapped file; see `bus.segment.Segment` for what its methods promise."""

    __slots__ = ("_fd", "_map", "_name", "_temporary", "view")

    def __init__(self, name: str, fd: int, temporary: str | None) -> None:
        self._name = name
        self._map = mmap.mmap(fd, 0)
        self._fd = fd
        self._temporary = temporary
        self.view = memoryview(self._map)

    def publish(self) -> bool:
        """Link the complete file to its name; False when the name is taken."""
        assert self._temporary is not None
        try:
            os.link(self._temporary, path_of(self._name))
        except FileExistsError:
            return False
        os.unlink(self._temporary)
        self._temporary = None
        return True

    def is_current(self) -> bool:
        """Whether the name leads to the file that is mapped here."""
        try:
            named = os.stat(path_of(self._name))
        except FileNotFoundError:
            return False
        mine = os.fstat(self._fd)
        return (named.st_ino, named.st_dev) == (mine.st_ino, mine.st_dev)

    def unlink(self) -> None:
        """Remove the name if it leads here."""
        if self.is_current():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path_of(self._name))

    def _lock(self, command: int, kind: int, number: int, count: int = 1) -> int:
        # A count of 0 reaches to the end of all locks.
        request = struct.pack(_FLOCK, kind, os.SEEK_SET, _LOCK_BASE + number, count, 0)
        answer: bytes = fcntl.fcntl(self._fd, command, request)
        return int(struct.unpack(_FLOCK, answer)[0])

    def try_lock(self, number: int) -> bool:
        """Take the lock, or return False at once."""
        try:
            self._lock(fcntl.F_OFD_SETLK, fcntl.F_WRLCK, number)
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
        return True

    def lock_wait(self, number: int) -> None:
        """Take the lock, waiting for its holder."""
        self._lock(fcntl.F_OFD_SETLKW, fcntl.F_WRLCK, number)

    def unlock(self, number: int) -> None:
        """Give the lock back."""
        self._lock(fcntl.F_OFD_SETLK, fcntl.F_UNLCK, number)

    def locked_elsewhere(self, number: int) -> bool:
        """Whether taking the lock would fail now."""
        return self._lock(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, number) != fcntl.F_UNLCK

    def any_locked_elsewhere(self) -> bool:
        """Whether somebody else holds any lock of this object."""
        return self._lock(fcntl.F_OFD_GETLK, fcntl.F_WRLCK, 0, 0) != fcntl.F_UNLCK

    def close(self) -> None:
        """Unmap; a file that never got its name goes with it."""
        if self._fd < 0:
            return
        self.view.release()
        self._map.close()
        os.close(self._fd)
        self._fd = -1
        if self._temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary)
