"""One named piece of shared memory: make, attach, lock, remove.

A `Segment` is bytes that several processes map, with numbered locks that the operating
system drops when their holder dies, however it dies. What the bytes mean is not known
here, except for the four header words that prove a segment is ours.

`segment_posix.py` and `segment_windows.py` implement the primitives, with the same
functions, and are chosen here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, Protocol

from bus.errors import SegmentInvalid
from bus.layout import HEADER_BYTES, MAGIC, VERSION, Kind, Word

if sys.platform == "win32":
    from bus import segment_windows as platform
else:
    from bus import segment_posix as platform

__all__ = ["VOLATILE", "Mapping", "Segment", "list_objects", "remove_dead"]

VOLATILE: Final = platform.VOLATILE
"""Whether a segment is gone as soon as nobody has it mapped."""


class Mapping(Protocol):
    """What a platform gives for one mapped object."""

    view: memoryview

    def try_lock(self, number: int) -> bool: ...
    def unlock(self, number: int) -> None: ...
    def locked_elsewhere(self, number: int) -> bool: ...
    def lock_wait(self, number: int) -> None: ...
    def is_current(self) -> bool: ...
    def publish(self) -> bool: ...
    def unlink(self) -> None: ...
    def close(self) -> None: ...


def list_objects(prefix: str) -> list[str]:
    """Names of all shared-memory objects of this user that begin with ``prefix``."""
    return platform.list_objects(prefix)


def remove_dead(name: str, before: Callable[[], None] = lambda: None) -> bool:
    """Remove an object, of this version or not, if nobody alive has a part in it.

    Args:
        name: object name.
        before: called when it is known that a segment is dead, before its name goes.

    Returns:
        Whether it was removed.
    """
    return platform.remove_dead(name, before)


class Segment:
    """A mapped segment and its header words.

    Attributes:
        name: object name, from `bus.names`.
        words: the whole segment as native 64-bit words.
        view: the whole segment as bytes.
    """

    __slots__ = ("_mapping", "_slices", "name", "view", "words")

    def __init__(self, name: str, mapping: Mapping) -> None:
        self.name = name
        self._mapping = mapping
        self.view = mapping.view
        self.words = mapping.view[: len(mapping.view) & -8].cast("Q")
        self._slices: list[memoryview] = []

    @classmethod
    def create(cls, name: str, kind: Kind, size: int) -> Segment:
        """Make a zeroed segment of ``size`` bytes that nobody can attach to yet.

        Fill it in, then call `publish`.

        Raises:
            NoSpace: when the memory cannot be reserved.
        """
        segment = cls(name, platform.create(name, size))
        segment.words[Word.MAGIC] = MAGIC
        segment.words[Word.VERSION] = VERSION
        segment.words[Word.KIND] = kind
        segment.words[Word.SIZE] = size
        return segment

    @classmethod
    def attach(cls, name: str, kind: Kind) -> Segment:
        """Map an existing segment.

        Raises:
            SegmentMissing: when there is none.
            SegmentInvalid: when it is foreign, truncated, or of another version.
        """
        mapping = platform.attach(name, HEADER_BYTES)
        segment = cls(name, mapping)
        reason = segment._refusal(kind)
        if reason is not None:
            segment.close()
            raise SegmentInvalid(name, reason)
        return segment

    def _refusal(self, kind: Kind) -> str | None:
        words = self.words
        if words[Word.MAGIC] != MAGIC:
            return "it was not made by this program"
        if words[Word.VERSION] != VERSION:
            return f"it has layout version {words[Word.VERSION]}, this program reads {VERSION}"
        if words[Word.KIND] != kind:
            return f"it is of kind {words[Word.KIND]}, not {kind.name.lower()}"
        if words[Word.SIZE] != len(self.view):
            return f"it is truncated: {len(self.view)} of {words[Word.SIZE]} bytes"
        return None

    def slice_words(self, start: int, stop: int) -> memoryview:
        """Bytes ``start`` to ``stop`` as 64-bit words; released by `close`."""
        part = self.view[start:stop].cast("Q")
        self._slices.append(part)
        return part

    def slice(self, start: int, stop: int) -> memoryview:
        """Bytes ``start`` to ``stop``; released by `close`."""
        part = self.view[start:stop]
        self._slices.append(part)
        return part

    def publish(self) -> bool:
        """Give a created segment its name; False when the name is taken."""
        return self._mapping.publish()

    def is_current(self) -> bool:
        """Whether the name still leads to this very segment."""
        return self._mapping.is_current()

    def try_lock(self, number: int) -> bool:
        """Take lock ``number`` if nobody holds it; it falls when this process dies."""
        return self._mapping.try_lock(number)

    def lock_wait(self, number: int) -> None:
        """Take lock ``number``, waiting for its holder."""
        self._mapping.lock_wait(number)

    def unlock(self, number: int) -> None:
        """Give lock ``number`` back."""
        self._mapping.unlock(number)

    def locked_elsewhere(self, number: int) -> bool:
        """Whether somebody else holds lock ``number`` now."""
        return self._mapping.locked_elsewhere(number)

    def unlink(self) -> None:
        """Remove the name if it still leads here; mapped processes keep the bytes."""
        self._mapping.unlink()

    def close(self) -> None:
        """Unmap and drop all locks held through this object. May be called twice."""
        for part in self._slices:
            part.release()
        self._slices.clear()
        self.words.release()
        self._mapping.close()
