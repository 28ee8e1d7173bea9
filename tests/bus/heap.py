"""Segments on the heap, for tests that need the bytes and not the operating system.

`heap_segment` gives a real `Segment` over a bytearray. `TracedSegment` is one whose stores
are written down in order, so that a test can replay a writer step by step, stop it
anywhere, or let its stores become visible in another order. `HookedSegment` is one that
calls a hook before each load of a reader, so that a test can replay stores in between.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast
from unittest.mock import patch

from bus.layout import MAGIC, RING_OFFSET, VERSION, Kind, Word
from bus.segment import Segment

__all__ = [
    "FENCE",
    "HeapMapping",
    "HookedSegment",
    "Store",
    "Trace",
    "TracedSegment",
    "heap_segment",
    "heap_segment_on",
    "reordered",
    "without_fences",
]

_PIECE: Final = 24
"""Payload bytes that one step stores or loads: small, so that a copy can tear."""


class HeapMapping:
    """A `bus.segment.Mapping` without a file; its locks are always free."""

    def __init__(self, memory: bytearray) -> None:
        self.view = memoryview(memory)

    def try_lock(self, number: int) -> bool:
        return True

    def unlock(self, number: int) -> None: ...

    def locked_elsewhere(self, number: int) -> bool:
        return False

    def lock_wait(self, number: int) -> None: ...

    def is_current(self) -> bool:
        return True

    def publish(self) -> bool:
        return True

    def unlink(self) -> None: ...

    def close(self) -> None: ...


def heap_segment_on(memory: bytearray) -> Segment:
    """A segment over bytes that are there already."""
    return Segment("heap", HeapMapping(memory))


def heap_segment(capacity: int) -> Segment:
    """A new stream segment with a ring of ``capacity`` bytes."""
    segment = heap_segment_on(bytearray(RING_OFFSET + capacity))
    words = segment.words
    words[Word.MAGIC], words[Word.VERSION], words[Word.KIND] = MAGIC, VERSION, Kind.STREAM
    words[Word.SIZE], words[Word.CAPACITY] = RING_OFFSET + capacity, capacity
    return segment


@dataclass(frozen=True, slots=True)
class Store:
    """Bytes that a writer stored in one step."""

    offset: int
    data: bytes

    def is_to(self, word: Word) -> bool:
        """Whether this header word was stored."""
        return self.offset == word * 8


FENCE: Final = None
"""In a trace: the writer's fence."""

Trace = list[Store | None]


def reordered(trace: Trace, shuffle: random.Random) -> Trace:
    """The stores in another order that the fences between them still allow.

    Stores to the same place keep their order, as they do on every processor.
    """
    result: Trace = []
    group: list[Store] = []
    for store in [*trace, FENCE]:
        if store is not None:
            group.append(store)
            continue
        while group:
            choice = shuffle.randrange(len(group))
            first = next(i for i, other in enumerate(group) if other.offset == group[choice].offset)
            result.append(group.pop(first))
        group = []
    return result


class _TracedView:
    """Stands for a memoryview and writes its stores down."""

    def __init__(self, view: memoryview, offset: int, trace: Trace) -> None:
        self._view = view
        self._offset = offset
        self._trace = trace

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, index: Any) -> Any:
        return self._view[index]

    def __setitem__(self, index: int | slice, value: Any) -> None:
        self._view[index] = value
        if isinstance(index, int):
            offset = self._offset + index * self._view.itemsize
            self._trace.append(Store(offset, self._view[index].to_bytes(8, "little")))
            return
        data = bytes(self._view[index])
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._trace.append(Store(self._offset + index.start + start, piece))


class TracedSegment(Segment):
    """A segment whose stores end up in ``trace`` as well.

    Give it a copy of the memory that readers see: what it stores is seen by nobody until
    the test applies it.
    """

    __slots__ = ("trace",)

    def __init__(self, memory: bytearray) -> None:
        super().__init__("traced", HeapMapping(memory))
        self.trace: Trace = []
        self.words = cast(memoryview, _TracedView(self.words, 0, self.trace))

    def slice(self, start: int, stop: int) -> memoryview:
        part = super().slice(start, stop)
        return cast(memoryview, _TracedView(part, start, self.trace))

    def slice_words(self, start: int, stop: int) -> memoryview:
        part = super().slice_words(start, stop)
        return cast(memoryview, _TracedView(part, start, self.trace))


class _HookedView:
    """Stands for a memoryview and calls a hook before each word or piece that is loaded."""

    def __init__(self, view: memoryview, before_load: Callable[[], None]) -> None:
        self._view = view
        self._before_load = before_load

    def __len__(self) -> int:
        return len(self._view)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, int):
            self._before_load()
            return self._view[index]
        if self._view.itemsize == 8:
            return [self[i] for i in range(index.start, index.stop)]
        data = bytearray()
        for start in range(index.start, index.stop, _PIECE):
            self._before_load()
            data += self._view[start : min(start + _PIECE, index.stop)]
        return data


class HookedSegment(Segment):
    """A segment that calls ``before_load`` before each load of a word or piece."""

    __slots__ = ("_before_load",)

    def __init__(self, memory: bytearray, before_load: Callable[[], None]) -> None:
        super().__init__("hooked", HeapMapping(memory))
        self._before_load = before_load
        self.words = cast(memoryview, _HookedView(self.words, before_load))

    def slice(self, start: int, stop: int) -> memoryview:
        return cast(memoryview, _HookedView(super().slice(start, stop), self._before_load))

    def slice_words(self, start: int, stop: int) -> memoryview:
        return cast(memoryview, _HookedView(super().slice_words(start, stop), self._before_load))


@contextmanager
def without_fences() -> Iterator[None]:
    """For readers that share a thread with their writer; under Wine each fence takes long."""
    with patch("bus.ring.full_fence", lambda: None):
        yield
