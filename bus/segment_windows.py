"""Segments as named memory, with a folder of empty files that says which there are.

Windows' named memory lives as long as somebody holds it, cannot be listed, and its name
cannot be taken away while it lives. So each segment's memory has a name of its own that is
never used again, made from a random number, and a registry leads from an object's name to
it: an empty file ``<object>@<number>.<size>`` in a folder of the user and logon session.

* The memory exists before its file and the file goes first, so a file without memory is
  what the dead left: whoever meets it removes it.
* Locks are LockFileEx byte ranges, beyond any data, of one file for all: a place for each
  segment's number. Like POSIX's open-file-description locks they belong to the open file,
  and the kernel drops them with their holder. A named mutex would belong to a thread, and
  let that thread in twice.
* Asking for a lock's state must not take it, not even for an instant, or another process
  is refused for no reason. So the holder of a lock also holds a named event, and who asks
  looks for that.
* Memory is committed when it is made: a full machine is an error here and no fault in the
  middle of a frame.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import msvcrt
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bus import kernel32
from bus.errors import BusError, NoSpace, SegmentInvalid, SegmentMissing

assert sys.platform == "win32"

__all__ = ["WindowsMapping", "attach", "create", "list_objects", "remove_dead"]

VOLATILE: Final = True
_LOCKS_FILE: Final = "locks"
_NUMBER_BITS: Final = 40
_LOCK_BITS: Final = 16
_REGISTRY_LOCK: Final = 0
# Not enough memory, not enough quota, disk full, paging file too small.
_EXHAUSTED: Final = frozenset({8, 14, 112, 1455, 1816})


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of the registry."""

    name: str
    number: int
    size: int

    @property
    def path(self) -> str:
        return os.path.join(_folder(), f"{self.name}@{self.number:010x}.{self.size:x}")

    @property
    def memory(self) -> str:
        """Name of the memory."""
        return f"Local\\live-frame-relay-{self.number:010x}"

    def exists(self) -> bool:
        """Whether anybody holds the memory; when not, its file goes, too."""
        try:
            kernel32.close_handle(kernel32.open_mapping(self.memory))
        except FileNotFoundError:
            self.remove()
            return False
        except PermissionError:
            pass
        return True

    def remove(self) -> None:
        """Take the name away."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def _folder() -> str:
    base = os.environ.get("LOCALAPPDATA") or tempfile.gettempdir()
    return os.path.join(base, "live-frame-relay", f"bus-{kernel32.session_id()}")


def _entries() -> Iterator[_Entry]:
    try:
        found = os.listdir(_folder())
    except FileNotFoundError:
        return
    for file in found:
        name, _, rest = file.rpartition("@")
        number, _, size = rest.partition(".")
        # Other files, such as that of the locks, are none of these.
        with contextlib.suppress(ValueError):
            if name:
                yield _Entry(name, int(number, 16), int(size, 16))


def list_objects(prefix: str) -> list[str]:
    """Names of all objects that begin with ``prefix`` and belong to this user's session."""
    found = (entry for entry in _entries() if entry.name.startswith(prefix))
    return sorted({entry.name for entry in found if entry.exists()})


def create(name: str, size: int) -> WindowsMapping:
    """Make nameless memory of ``size`` zeroed bytes and map it.

    Raises:
        NoSpace: when the machine cannot promise it.
    """
    os.makedirs(_folder(), exist_ok=True)
    while True:
        # 0 is the registry's own.
        entry = _Entry(name, secrets.randbelow((1 << _NUMBER_BITS) - 1) + 1, size)
        try:
            handle = kernel32.create_mapping(entry.memory, size)
        except FileExistsError:
            continue
        except OSError as exc:
            if exc.winerror not in _EXHAUSTED:
                raise
            free = kernel32.free_memory()
            raise NoSpace(size, free, "memory and page file") from None
        return _map(entry, handle)


def attach(name: str, minimum: int) -> WindowsMapping:
    """Map existing memory of at least ``minimum`` bytes.

    Raises:
        SegmentMissing: when there is none.
        SegmentInvalid: when it is smaller than that, or not ours to read.
    """
    for entry in _entries():
        if entry.name != name:
            continue
        try:
            handle = kernel32.open_mapping(entry.memory)
        except FileNotFoundError:
            entry.remove()
            continue
        except PermissionError:
            raise SegmentInvalid(
                name, "it was made with other rights (as administrator?)"
            ) from None
        if entry.size < minimum:
            kernel32.close_handle(handle)
            raise SegmentInvalid(name, f"it is truncated: {entry.size} bytes")
        return _map(entry, handle)
    raise SegmentMissing(name)


def _map(entry: _Entry, handle: int) -> WindowsMapping:
    # The handle keeps the name alive until mmap has opened it, too.
    try:
        memory = mmap.mmap(-1, entry.size, tagname=entry.memory)
    except PermissionError:
        raise SegmentInvalid(entry.name, f"it is truncated: less than {entry.size} bytes") from None
    except OSError as exc:
        raise BusError(
            f"cannot map shared-memory segment {entry.name!r}: {exc.strerror}; "
            "free memory or use smaller rings (capacity=)"
        ) from None
    finally:
        kernel32.close_handle(handle)
    return WindowsMapping(entry, memory)


def remove_dead(name: str, before: Callable[[], None]) -> bool:
    """Remove an object if nobody holds a lock of it; whether it is gone by that.

    Args:
        name: object name.
        before: called when it is known that the object is dead, before its name goes.
    """
    try:
        mapping = attach(name, 0)
    except SegmentMissing:
        return False
    try:
        if mapping.any_locked_elsewhere():
            return False
        before()
        mapping.unlink()
    finally:
        mapping.close()
    return True


class WindowsMapping:
    """Mapped memory; see `bus.segment.Segment` for what its methods promise."""

    __slots__ = ("_entry", "_fd", "_held", "_map", "view")

    def __init__(self, entry: _Entry, memory: mmap.mmap) -> None:
        self._entry = entry
        self._map = memory
        self.view = memoryview(memory)
        self._fd = -1
        self._held: dict[int, int] = {}

    @property
    def _locks(self) -> int:
        """Handle of the locks' file, this mapping's own: locks belong to it."""
        if self._fd < 0:
            # Python opens files in a way that keeps others from removing them meanwhile.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOINHERIT | os.O_BINARY
            self._fd = os.open(os.path.join(_folder(), _LOCKS_FILE), flags)
        return msvcrt.get_osfhandle(self._fd)

    def publish(self) -> bool:
        """Enter the object's name; False when it is taken."""
        locks = self._locks
        kernel32.lock_range(locks, _REGISTRY_LOCK, wait=True)
        try:
            for entry in _entries():
                if entry.name == self._entry.name and entry.exists():
                    return False
            with open(self._entry.path, "x"):
                return True
        finally:
            kernel32.unlock_range(locks, _REGISTRY_LOCK)

    def is_current(self) -> bool:
        """Whether the name leads to the memory that is mapped here."""
        return os.path.exists(self._entry.path)

    def unlink(self) -> None:
        """Remove the name if it leads here."""
        self._entry.remove()

    def _place(self, number: int) -> int:
        return self._entry.number << _LOCK_BITS | number

    def _sign(self, number: int) -> str:
        """Name of the event by which others see that a lock is held."""
        return f"{self._entry.memory}-lock-{number}"

    def _take(self, number: int, *, wait: bool) -> bool:
        if number in self._held:
            return True
        if not kernel32.lock_range(self._locks, self._place(number), wait=wait):
            return False
        self._held[number] = kernel32.create_event(self._sign(number))
        return True

    def try_lock(self, number: int) -> bool:
        """Take the lock, or return False at once."""
        return self._take(number, wait=False)

    def lock_wait(self, number: int) -> None:
        """Take the lock, waiting for its holder."""
        self._take(number, wait=True)

    def unlock(self, number: int) -> None:
        """Give the lock back."""
        sign = self._held.pop(number, None)
        if sign is not None:
            kernel32.close_handle(sign)
            kernel32.unlock_range(self._locks, self._place(number))

    def locked_elsewhere(self, number: int) -> bool:
        """Whether taking the lock would fail now."""
        if number in self._held:
            return False
        sign = kernel32.open_event(self._sign(number))
        if sign is None:
            return False
        kernel32.close_handle(sign)
        return True

    def any_locked_elsewhere(self) -> bool:
        """Whether somebody else holds any lock of this object."""
        # Own locks are in their own way.
        edges = [-1, *sorted(self._held), 1 << _LOCK_BITS]
        for before, after in itertools.pairwise(edges):
            length = after - before - 1
            if length and not self._is_free(before + 1, length):
                return True
        return False

    def _is_free(self, number: int, length: int) -> bool:
        place = self._place(number)
        free = kernel32.lock_range(self._locks, place, length, wait=False, shared=True)
        if free:
            kernel32.unlock_range(self._locks, place, length)
        return free

    def close(self) -> None:
        """Unmap and drop all locks; memory that nobody else holds goes with it."""
        self.view.release()
        self._map.close()
        while self._held:
            kernel32.close_handle(self._held.popitem()[1])
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
