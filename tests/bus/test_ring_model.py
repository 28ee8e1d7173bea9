"""Any sequence of operations on a ring, against a list in plain Python.

The model keeps every entry ever written with its place, and knows from arithmetic alone
which are still whole. It states the ring's contract: what each reader gets next, how many
it lost, where it lands when it was lapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from bus.ring import RingReader, RingWriter
from tests.bus.heap import heap_segment, without_fences

CAPACITY = 2048
LIMIT = 480
HEADER = 32


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with without_fences():
        yield


@dataclass
class Entry:
    """A record, or padding (payload None), and the bytes of ring it takes."""

    begin: int
    end: int
    number: int
    payload: bytes | None
    key: bool = False


@dataclass
class ModelReader:
    """A real reader, and where the model says it stands."""

    ring: RingReader
    place: int
    expected: int
    lost: int = 0
    lapped: int = 0
    seen: dict[int, bytes] = field(default_factory=dict)


class RingModel(RuleBasedStateMachine):
    readers: Bundle[ModelReader] = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.segment = heap_segment(CAPACITY)
        self.writer = RingWriter(self.segment)
        self.entries: list[Entry] = []
        self.numbers = 0
        self.tail = 0
        self.newest_key: Entry | None = None
        self.epoch_start = 0
        self.alive: list[ModelReader] = []

    # The model.

    def whole(self, place: int) -> bool:
        return self.tail - place <= CAPACITY

    def count_before(self, place: int) -> int:
        return sum(1 for e in self.entries if e.payload is not None and e.begin < place)

    def landing(self, place: int) -> int:
        """Where a lapped reader goes."""
        key = self.newest_key
        if key is not None and key.begin > place and self.whole(key.begin):
            return key.begin
        return max(e.begin for e in self.entries if e.payload is not None)

    def next_of(self, reader: ModelReader) -> tuple[bytes, bool, int] | None:
        """What the reader must get now; moves the model's reader."""
        if reader.place == self.tail:
            return None
        if not self.whole(reader.place):
            reader.lapped += 1
            reader.place = self.landing(reader.place)
        entry = next(e for e in self.entries if e.begin == reader.place)
        reader.place = entry.end
        if entry.payload is None:
            return self.next_of(reader)
        lost = entry.number - reader.expected
        reader.expected = entry.number + 1
        reader.lost += lost
        return entry.payload, entry.key, lost

    # What a writer does.

    @rule(size=st.integers(0, LIMIT), key=st.booleans(), count=st.integers(1, 12))
    def append(self, size: int, key: bool, count: int) -> None:
        for _ in range(count):
            payload = (self.numbers.to_bytes(4, "little") * (size // 4 + 1))[:size]
            self.writer.append(payload, key=key)
            room = CAPACITY - self.tail % CAPACITY
            length = -(-(HEADER + size) // 32) * 32
            if length > room:
                self.entries.append(Entry(self.tail, self.tail + room, self.numbers, None))
                self.tail += room
            entry = Entry(self.tail, self.tail + length, self.numbers, payload, key)
            self.entries.append(entry)
            self.tail += length
            self.numbers += 1
            if key:
                self.newest_key = entry

    @rule()
    def new_writer(self) -> None:
        self.writer = RingWriter(self.segment)
        self.newest_key = None
        self.epoch_start = self.tail

    # What readers do.

    @rule(target=readers)
    def new_reader(self) -> ModelReader:
        reader = ModelReader(RingReader(self.segment), 0, 0)
        self.alive.append(reader)
        self._expect_at_key(reader)
        return reader

    def _expect_at_key(self, reader: ModelReader) -> bool:
        key = self.newest_key
        found = key is not None and self.whole(key.begin)
        reader.place = key.begin if key is not None and found else self.tail
        reader.expected = self.count_before(reader.place)
        return found

    @rule(reader=readers)
    def seek_key(self, reader: ModelReader) -> None:
        assert reader.ring.seek_key() == self._expect_at_key(reader)

    @rule(reader=readers)
    def seek_tail(self, reader: ModelReader) -> None:
        reader.ring.seek_tail()
        reader.place, reader.expected = self.tail, self.numbers

    @rule(reader=readers)
    def seek_start(self, reader: ModelReader) -> None:
        found = self.whole(self.epoch_start)
        assert reader.ring.seek_start() == found
        if found:
            reader.place = self.epoch_start
            reader.expected = self.count_before(self.epoch_start)
        else:
            self._expect_at_key(reader)

    @rule(reader=readers, count=st.integers(1, 8))
    def read(self, reader: ModelReader, count: int) -> None:
        for _ in range(count):
            expected = self.next_of(reader)
            record = reader.ring.read()
            assert (record and (record.data, record.key, record.lost)) == expected
            if record is None:
                break
            reader.seen[record.position] = record.data

    @rule(reader=consumes(readers))
    def reader_dies(self, reader: ModelReader) -> None:
        self.alive.remove(reader)

    @invariant()
    def readers_know_where_they_are(self) -> None:
        for reader in self.alive:
            assert reader.ring.pending == (reader.place != self.tail)
            assert reader.ring.bytes_behind == self.tail - reader.place
            assert (reader.ring.lost, reader.ring.lapped) == (reader.lost, reader.lapped)
            assert reader.ring.corrupt == 0

    @invariant()
    def what_is_whole_can_be_read_again(self) -> None:
        for reader in self.alive:
            for position, payload in reader.seen.items():
                expected = payload if self.whole(position) else None
                assert reader.ring.again(position) == expected


TestRingModel = RingModel.TestCase
TestRingModel.settings = settings(max_examples=150, stateful_step_count=40)
