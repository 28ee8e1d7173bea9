"""The directory of one instance: which streams exist, and who wants to hear of new ones.

Which streams exist is what lies in shared memory: a listing of names. The directory's own
segment adds a generation and a reader table, so that a worker whose viewers wait for a
stream is rung when one appears; and a lock under which segments are made and removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from bus.doorbell import Doorbell, Ringer, open_ringer
from bus.errors import BusError
from bus.layout import METADATA_OFFSET, TOKENS, Kind, Word
from bus.names import directory_object, instance_prefix, stream_of
from bus.readers import ReaderSlot, ReaderTable
from bus.segment import Segment, list_objects
from bus.stream import StreamInfo, inspect_stream

__all__ = ["DIRECTORY_TOKEN", "Directory", "list_streams"]

DIRECTORY_TOKEN: Final = TOKENS - 1
"""Doorbell token by which readers of the directory tell its ring from a stream's."""

_EXCLUSIVE_LOCK: Final = 1000


class Directory:
    """A process's hold on its instance's directory.

    Attributes:
        instance: instance name.
        readers: who is rung when the set of streams changes.
    """

    __slots__ = ("_segment", "instance", "readers")

    def __init__(self, instance: str) -> None:
        """Attach to the directory, or make it.

        Raises:
            NoSpace, SegmentInvalid: when that is impossible.
        """
        self.instance = instance
        self._segment = self._open(directory_object(instance))
        self.readers = ReaderTable(self._segment)

    @staticmethod
    def _open(name: str) -> Segment:
        while True:
            with contextlib.suppress(LookupError):
                return Segment.attach(name, Kind.DIRECTORY)
            segment = Segment.create(name, Kind.DIRECTORY, METADATA_OFFSET)
            if segment.publish():
                return segment
            segment.close()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Make or remove segments alone. Short: nothing in it may wait."""
        while True:
            self._segment.lock_wait(_EXCLUSIVE_LOCK)
            if self._segment.is_current():
                break
            # The last one out removed the directory between our look and our lock.
            self._segment.close()
            self._segment = self._open(directory_object(self.instance))
            self.readers = ReaderTable(self._segment)
        try:
            yield
        finally:
            self._segment.unlock(_EXCLUSIVE_LOCK)

    def listen(self, bell: Doorbell) -> ReaderSlot:
        """Claim a slot to be rung with DIRECTORY_TOKEN when the set of streams changes.

        The bell's name in shared memory, and the lock, keep others from removing the
        directory as unused in the middle of this.

        Raises:
            TooManyReaders: when live readers hold all slots.
        """
        with self.exclusive():
            return self.readers.claim(bell, DIRECTORY_TOKEN)

    @property
    def generation(self) -> int:
        """Changes whenever a stream appears, changes hands or goes."""
        return int(self._segment.words[Word.GENERATION])

    def announce(self, ringer: Ringer | None = None) -> None:
        """Tell all readers that the set of streams changed."""
        with self.exclusive():
            self._segment.words[Word.GENERATION] += 1
        own = ringer or open_ringer(self.instance)
        try:
            self.readers.ring_all(own)
        finally:
            if ringer is None:
                own.close()

    def remove_if_unused(self) -> None:
        """Remove the directory when nothing else of the instance is left."""
        with self.exclusive():
            mine = directory_object(self.instance)
            if all(name == mine for name in list_objects(instance_prefix(self.instance))):
                self._segment.unlink()

    def close(self) -> None:
        """Let go of the directory. May be called twice."""
        self._segment.close()


def list_streams(instance: str) -> list[StreamInfo]:
    """A look at every stream of an instance, sorted by name.

    Segments that vanish meanwhile or cannot be read are left out.
    """
    found = []
    for name in list_objects(instance_prefix(instance)):
        stream = stream_of(instance, name)
        if stream is not None:
            with contextlib.suppress(BusError):
                found.append(inspect_stream(instance, stream))
    return found
