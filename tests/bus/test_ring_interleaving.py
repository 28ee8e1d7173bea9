"""Writer and readers, one store and one load at a time.

Invariant: whatever lies between two steps of the writer (a reader, the writer's death, a
processor that shows stores in another order than the program's), a reader delivers whole
records, each once, in order, and counts exactly those that it cannot have. The checksum
must not be needed for that: `corrupt` stays 0 everywhere.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.layout import Word
from bus.ring import RingReader, RingWriter
from tests.bus.heap import (
    FENCE,
    HookedSegment,
    Trace,
    TracedSegment,
    heap_segment,
    reordered,
    without_fences,
)

CAPACITY = 512
SIZES = (96, 8, 40, 64, 33, 90, 12)
KEYS = (True, False, False, True, False)
WARM = range(16)
"""Records before the one under test: every way to lie at the ring's end occurs."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with without_fences():
        yield


def payload(number: int) -> bytes:
    size = SIZES[number % len(SIZES)]
    return number.to_bytes(8, "little") + bytes((number * 7 + i) & 0xFF for i in range(size - 8))


NUMBERS = {payload(number): number for number in range(128)}


class Writer:
    """A ring writer whose steps are seen by nobody until a `Stage` shows them."""

    def __init__(self, memory: bytearray) -> None:
        self._segment = TracedSegment(bytearray(memory))
        with self._fences():
            self._ring = RingWriter(self._segment)
        self.opening = self._take()

    @contextmanager
    def _fences(self) -> Iterator[None]:
        with patch("bus.ring.full_fence", lambda: self._segment.trace.append(FENCE)):
            yield

    def _take(self) -> Trace:
        trace = self._segment.trace[:]
        self._segment.trace.clear()
        return trace

    def append(self, *numbers: int) -> Trace:
        """The steps of publishing these records."""
        with self._fences():
            for number in numbers:
                self._ring.append(payload(number), key=KEYS[number % len(KEYS)])
        return self._take()


class Reader:
    """A ring reader that checks everything it is given."""

    def __init__(self, stage: Stage) -> None:
        self.ring = RingReader(HookedSegment(stage.memory, stage.before_load))
        # None: it began somewhere in the middle.
        self.last: int | None = None
        self.seen: list[int] = []
        # Numbers of records that may still be in the ring, by position.
        self.places: dict[int, int] = {}
        # Records that may be missing uncounted: their writer died before it counted them.
        self.unborn: set[int] = set()

    def twin(self) -> Reader:
        """A reader in the same state that goes its own way."""
        twin = copy.copy(self)
        twin.ring = copy.copy(self.ring)
        twin.seen = self.seen[:]
        twin.places = self.places.copy()
        return twin

    def read_one(self) -> bool:
        record = self.ring.read()
        if record is None:
            return False
        number = NUMBERS.get(record.data)
        assert number is not None, f"torn: {record.data.hex()}"
        assert record.key == KEYS[number % len(KEYS)]
        if self.last is None:
            assert 0 <= record.lost <= number
        else:
            assert number > self.last, "delivered twice or out of order"
            missed = set(range(self.last + 1, number))
            assert len(missed - self.unborn) <= record.lost <= len(missed)
        self.last = number
        self.seen.append(number)
        self.places[record.position] = number
        self.look_back()
        return True

    def look_back(self) -> None:
        """Read again the oldest record that can be, which is overwritten next."""
        while self.places:
            position = min(self.places)
            data = self.ring.again(position)
            if data is not None:
                assert data == payload(self.places[position]), f"torn: {data.hex()}"
                break
            del self.places[position]

    def read_all(self) -> None:
        while self.read_one():
            pass
        self.look_back()
        assert self.ring.corrupt == 0


class Stage:
    """Memory that readers see, in which a writer's steps are shown one by one.

    Attributes:
        readers: one for each number of records read so far: 0, 1, 2, … all.
    """

    def __init__(self, records: int) -> None:
        self.memory = bytearray(heap_segment(CAPACITY).view)
        self._coming: Trace = []
        self._plan: Iterator[int] = iter(())
        self.writer = Writer(self.memory)
        self.show(self.writer.opening)
        self.readers = [Reader(self)]
        self.readers[0].last = -1
        for number in range(records):
            self.show(self.writer.append(number))
            reader = self.readers[-1].twin()
            reader.read_all()
            self.readers.append(reader)

    def show(self, trace: Trace) -> None:
        """Make all these steps visible."""
        self.expect(trace, ())
        self.show_rest()

    def expect(self, trace: Trace, plan: Iterable[int]) -> None:
        """Show ``plan[i]`` of these steps before the i-th load of the readers to come."""
        self._coming = trace[:]
        self._plan = iter(plan)

    def show_rest(self) -> None:
        """Make the steps that are still expected visible."""
        self._advance(len(self._coming))

    def before_load(self) -> None:
        self._advance(next(self._plan, 0))

    def _advance(self, steps: int) -> None:
        for store in self._coming[:steps]:
            if store is not None:
                self.memory[store.offset : store.offset + len(store.data)] = store.data
        del self._coming[:steps]


@pytest.mark.parametrize("records", WARM)
def test_readers_between_any_two_stores(records: int) -> None:
    stage = Stage(records)
    trace = stage.writer.append(records)
    for step in trace:
        stage.show([step])
        between = bytes(stage.memory)
        stage.readers.append(Reader(stage))
        for reader in stage.readers:
            twin = reader.twin()
            twin.read_all()
            stage.show(trace)
            twin.read_all()
            assert twin.last == records
            stage.memory[:] = between


@pytest.mark.parametrize("records", WARM)
def test_writer_dies_between_any_two_stores(records: int) -> None:
    """Nor does it help if the next writer dies, too, while it sets things right."""
    stage = Stage(records)
    oldest, newest = stage.readers[0], stage.readers[-1]
    committed = False
    for step in stage.writer.append(records):
        stage.show([step])
        committed = committed or (step is not None and step.is_to(Word.TAIL))
        at_death = bytes(stage.memory)
        mending = Writer(stage.memory).opening
        for mended in range(len(mending) + 1):
            stage.show(mending[:mended])
            keen = [newest.twin(), oldest.twin(), Reader(stage)]
            late = [*(reader.twin() for reader in stage.readers[-8:]), Reader(stage)]
            for reader in keen:
                reader.read_all()
            survivor = Writer(stage.memory)
            stage.show(survivor.opening)
            keen.append(Reader(stage))
            for reader in keen + late:
                reader.unborn = set() if committed else {records}
            for number in range(records + 1, records + 5):
                stage.show(survivor.append(number))
                for reader in keen:
                    reader.read_all()
                    assert reader.last == number
                for reader in late:
                    # Those with the longest way to go are not lapped yet.
                    reader.twin().read_all()
            for reader in late:
                reader.read_all()
                assert reader.last == records + 4
            if not committed:
                assert not any(records in reader.seen for reader in keen + late)
            stage.memory[:] = at_death


AHEAD = 7
"""Records that a writer publishes during one read: more than the ring holds."""
STRIDES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)


@pytest.mark.parametrize("behind", [0, 1, 3])
@pytest.mark.parametrize("records", [9, 10, 11])
def test_stores_between_any_two_loads(records: int, behind: int) -> None:
    stage = Stage(records)
    trace = stage.writer.append(*range(records, records + AHEAD))
    begin = bytes(stage.memory)
    for first in range(0, len(trace), 3):
        for pause in range(14):
            for stride in STRIDES:
                reader = stage.readers[-1 - behind].twin()
                stage.show(trace[:first])
                stage.expect(trace[first:], (*[0] * pause, stride))
                reader.read_one()
                stage.show_rest()
                reader.read_all()
                assert reader.last == records + AHEAD - 1
                stage.memory[:] = begin


def play(records: int, trace: Trace, stage: Stage, plan: list[int], behind: int) -> list[Reader]:
    """Let an old reader and new ones read while the steps appear as planned."""
    readers = [stage.readers[-1 - behind].twin()]
    stage.expect(trace, plan)
    for _ in range(3):
        readers.append(Reader(stage))
        for reader in readers:
            reader.read_all()
    stage.show_rest()
    for reader in readers:
        reader.read_all()
    return readers


plans = st.lists(st.integers(0, 40), max_size=80)


@given(records=st.integers(0, 20), behind=st.integers(0, 4), plan=plans, seed=st.integers(0))
def test_stores_seen_in_another_order(
    records: int, behind: int, plan: list[int], seed: int
) -> None:
    stage = Stage(records)
    trace = reordered(stage.writer.append(*range(records, records + AHEAD)), random.Random(seed))
    for reader in play(records, trace, stage, plan, min(behind, records)):
        assert reader.last == records + AHEAD - 1


def test_the_fences_are_needed() -> None:
    """The test above can fail: without the writer's fences it does."""
    failures = 0
    for seed in range(300):
        stage = Stage(8)
        shuffle = random.Random(seed)
        trace: Trace = [s for s in stage.writer.append(*range(8, 8 + AHEAD)) if s is not FENCE]
        plan = [shuffle.randrange(12) for _ in range(60)]
        try:
            play(8, reordered(trace, shuffle), stage, plan, behind=3)
        except AssertionError:
            failures += 1
    assert failures


def test_publish_order() -> None:
    """Intent, fence, record, fence, tail: what readers on another processor rely on."""
    trace = Stage(3).writer.append(3)
    intent = next(i for i, s in enumerate(trace) if s is not None and s.is_to(Word.TAIL_INTENT))
    tail = next(i for i, s in enumerate(trace) if s is not None and s.is_to(Word.TAIL))
    first, second = (i for i, s in enumerate(trace) if s is FENCE)
    header = [i for i, s in enumerate(trace) if s is not None and s.offset >= 4096]
    assert intent < first < min(header) < max(header) < second < tail
