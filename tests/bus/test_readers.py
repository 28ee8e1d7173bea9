"""The reader table: slots follow lives, sleepers are rung once."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from bus.doorbell import Doorbell, open_doorbell
from bus.errors import TooManyReaders
from bus.layout import METADATA_OFFSET, READER_SLOTS, Kind
from bus.names import directory_object
from bus.readers import ReaderTable
from bus.segment import Segment


class FakeRinger:
    """A `Ringer` that writes rings down."""

    def __init__(self) -> None:
        self.rings: list[tuple[int, int]] = []
        self.during: list[bytes] = []

    def ring(self, bell: int, token: int) -> bool:
        self.rings.append((bell, token))
        return True

    def close(self) -> None: ...

    def take(self) -> list[tuple[int, int]]:
        taken, self.rings = self.rings, []
        return taken


@pytest.fixture
def segment(instance: str) -> Iterator[Segment]:
    segment = Segment.create(directory_object(instance), Kind.DIRECTORY, METADATA_OFFSET)
    assert segment.publish()
    yield segment
    segment.unlink()
    segment.close()


@pytest.fixture
def bell(instance: str) -> Iterator[Doorbell]:
    bell = open_doorbell(instance)
    yield bell
    bell.close()


@pytest.fixture
def ringer() -> FakeRinger:
    return FakeRinger()


def test_only_who_sleeps_is_rung_and_once(
    segment: Segment, bell: Doorbell, ringer: FakeRinger
) -> None:
    table = ReaderTable(segment)
    slots = [table.claim(bell, token) for token in (10, 20, 30)]
    table.ring_sleepers(ringer)
    assert ringer.take() == []
    slots[0].sleep()
    slots[2].sleep()
    table.ring_sleepers(ringer)
    assert ringer.take() == [(bell.id, 10), (bell.id, 30)]
    table.ring_sleepers(ringer)
    assert ringer.take() == []
    slots[2].sleep()
    slots[2].awake()
    table.ring_sleepers(ringer)
    assert ringer.take() == []


def test_a_reader_that_falls_asleep_during_a_ring_is_rung_again(
    segment: Segment, bell: Doorbell, ringer: FakeRinger
) -> None:
    table = ReaderTable(segment)
    slot = table.claim(bell, 1)

    class Restless(FakeRinger):
        def ring(self, bell: int, token: int) -> bool:
            slot.sleep()
            return super().ring(bell, token)

    restless = Restless()
    slot.sleep()
    table.ring_sleepers(restless)
    assert restless.take() == [(bell.id, 1)]
    table.ring_sleepers(ringer)
    assert ringer.take() == [(bell.id, 1)]


def test_news_ring_everybody_asleep_or_not(
    segment: Segment, bell: Doorbell, ringer: FakeRinger
) -> None:
    table = ReaderTable(segment)
    slots = [table.claim(bell, token) for token in (10, 20, 30)]
    slots[1].sleep()
    table.release(slots[2])
    table.ring_all(ringer)
    assert ringer.take() == [(bell.id, 10), (bell.id, 20)]
    table.ring_sleepers(ringer)
    assert ringer.take() == []


def test_a_reader_that_could_not_be_rung_is_rung_with_the_next_record(
    segment: Segment, bell: Doorbell, ringer: FakeRinger
) -> None:
    table = ReaderTable(segment)
    slot = table.claim(bell, 1)

    class Exhausted(FakeRinger):
        def ring(self, bell: int, token: int) -> bool:
            raise OSError(errno.EMFILE, "no descriptor left")

    for ring in (table.ring_all, table.ring_sleepers):
        slot.sleep()
        ring(Exhausted())
        table.ring_sleepers(ringer)
        assert ringer.take() == [(bell.id, 1)]


def test_a_reader_that_left_is_not_rung(
    segment: Segment, bell: Doorbell, ringer: FakeRinger
) -> None:
    table = ReaderTable(segment)
    slot = table.claim(bell, 1)
    slot.sleep()
    table.release(slot)
    table.ring_sleepers(ringer)
    assert ringer.take() == []


def test_slots_are_those_of_live_mappings(segment: Segment, bell: Doorbell) -> None:
    first, second = (Segment.attach(segment.name, Kind.DIRECTORY) for _ in range(2))
    assert ReaderTable(first).claim(bell, 1).number == 0
    assert ReaderTable(second).claim(bell, 2).number == 1
    first.close()
    table = ReaderTable(segment)
    assert table.claim(bell, 3).number == 0
    assert table.claim(bell, 4).number == 2
    second.close()
    assert table.claim(bell, 5).number == 1


def test_a_new_owner_does_not_inherit_its_predecessors_sleep_or_viewers(
    segment: Segment, bell: Doorbell, ringer: FakeRinger
) -> None:
    dead = Segment.attach(segment.name, Kind.DIRECTORY)
    slot = ReaderTable(dead).claim(bell, 1)
    slot.set_viewers(9)
    slot.sleep()
    dead.close()
    alive = Segment.attach(segment.name, Kind.DIRECTORY)
    assert ReaderTable(alive).claim(bell, 2).number == slot.number
    table = ReaderTable(segment)
    table.ring_sleepers(ringer)
    assert ringer.take() == []
    assert table.viewers() == 0
    alive.close()


def test_viewers_of_live_readers_are_added_up(segment: Segment, bell: Doorbell) -> None:
    table = ReaderTable(segment)
    mappings = [Segment.attach(segment.name, Kind.DIRECTORY) for _ in range(3)]
    for number, mapping in enumerate(mappings):
        ReaderTable(mapping).claim(bell, number).set_viewers(10**number)
    assert table.viewers() == 111
    mappings[1].close()
    assert table.viewers() == 101
    mappings[0].close()
    mappings[2].close()
    assert table.viewers() == 0


def test_a_full_table_says_so(segment: Segment, bell: Doorbell) -> None:
    table = ReaderTable(segment)
    slots = [table.claim(bell, number) for number in range(READER_SLOTS)]
    assert sorted(slot.number for slot in slots) == list(range(READER_SLOTS))
    other = Segment.attach(segment.name, Kind.DIRECTORY)
    for full in (table, ReaderTable(other)):
        with pytest.raises(TooManyReaders, match=f"{segment.name}.* {READER_SLOTS} readers"):
            full.claim(bell, 0)
    table.release(slots[40])
    assert ReaderTable(other).claim(bell, 0).number == 40
    other.close()


def test_every_sleeper_of_a_full_table_is_rung(
    segment: Segment, bell: Doorbell, ringer: FakeRinger
) -> None:
    table = ReaderTable(segment)
    for number in range(READER_SLOTS):
        table.claim(bell, number).sleep()
    table.ring_sleepers(ringer)
    assert ringer.take() == [(bell.id, number) for number in range(READER_SLOTS)]
