"""A stream's segment: metadata that is always whole, and the look from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from bus.doorbell import open_doorbell
from bus.errors import BusError, SegmentInvalid, SegmentMissing
from bus.layout import (
    CAPACITY_MIN,
    METADATA_BYTES,
    METADATA_OFFSET,
    PUBLISHER_LOCK,
    RING_OFFSET,
    State,
    Word,
)
from bus.names import stream_object
from bus.ring import RingWriter
from bus.stream import Metadata, StreamSegment, inspect_stream
from tests.bus.heap import TracedSegment, heap_segment, heap_segment_on
from tests.platforms import path_of

METADATA = Metadata("avc1.64001f", 1280, 720, 25.0, b"\x01\x64", "ws", "192.0.2.7:5", 3)


@pytest.fixture
def stream(instance: str) -> Iterator[StreamSegment]:
    stream = StreamSegment.create(instance, "cam", CAPACITY_MIN)
    assert stream.segment.try_lock(PUBLISHER_LOCK)
    assert stream.segment.publish()
    yield stream
    stream.segment.unlink()
    stream.close()


def test_metadata_round_trip(instance: str, stream: StreamSegment) -> None:
    other = StreamSegment.attach(instance, "cam")
    assert other.read_metadata() is None
    for version, metadata in enumerate((METADATA, Metadata("mjpeg"), METADATA), 1):
        stream.write_metadata(metadata)
        assert other.metadata_version == version
        assert other.read_metadata() == (version, metadata)
    other.close()


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_metadata_is_whole_between_any_two_stores(before: int) -> None:
    """Readers meet the old or the new; a writer that dies leaves the old."""
    memory = bytearray(heap_segment(CAPACITY_MIN).view)
    writer = StreamSegment("cam", TracedSegment(memory))
    versions = [replace(METADATA, init=bytes([n]) * (900 - 200 * n)) for n in range(before + 1)]
    for metadata in versions[:-1]:
        writer.write_metadata(metadata)
    trace = cast(TracedSegment, writer.segment).trace
    seen = bytearray(memory)
    reader = StreamSegment("cam", heap_segment_on(seen))
    old = reader.read_metadata()
    trace.clear()
    writer.write_metadata(versions[-1])
    assert len(trace) > 10
    for store in trace[:-1]:
        assert store is not None
        seen[store.offset : store.offset + len(store.data)] = store.data
        assert reader.read_metadata() == old
    assert trace[-1] is not None
    assert trace[-1].is_to(Word.METADATA_VERSION)
    assert writer.read_metadata() == (before + 1, versions[-1])


def test_metadata_of_a_later_version_is_not_taken_for_an_earlier_one(
    stream: StreamSegment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes while a reader looks: the second is where the reader looks."""
    stream.write_metadata(Metadata("one"))

    def meanwhile() -> None:
        monkeypatch.undo()
        stream.write_metadata(Metadata("two"))
        stream.write_metadata(Metadata("three"))

    monkeypatch.setattr("bus.stream.full_fence", meanwhile)
    assert stream.read_metadata() == (3, Metadata("three"))


def test_damaged_metadata_is_told(stream: StreamSegment) -> None:
    stream.write_metadata(METADATA)
    stream.segment.view[METADATA_OFFSET + METADATA_BYTES + 20] ^= 1
    with pytest.raises(SegmentInvalid, match="metadata is damaged"):
        stream.read_metadata()
    stream.segment.view[METADATA_OFFSET + METADATA_BYTES : RING_OFFSET] = b"\xff" * METADATA_BYTES
    with pytest.raises(SegmentInvalid, match="metadata is damaged"):
        stream.read_metadata()


def test_init_data_has_a_limit(stream: StreamSegment) -> None:
    room = METADATA_BYTES - 300
    stream.write_metadata(replace(METADATA, init=bytes(room)))
    with pytest.raises(BusError, match=f"init data of {METADATA_BYTES} bytes .* limited to"):
        stream.write_metadata(replace(METADATA, init=bytes(METADATA_BYTES)))
    assert stream.metadata_version == 1


@pytest.mark.parametrize("epoch", [0, 2**64 - 1])
def test_what_check_lets_pass_can_be_written(stream: StreamSegment, epoch: int) -> None:
    size = METADATA_BYTES
    while True:
        try:
            StreamSegment.check(CAPACITY_MIN, Metadata("x", init=bytes(size)))
            break
        except BusError:
            size -= 1
    stream.write_metadata(Metadata("x", init=bytes(size), epoch=epoch))


@pytest.mark.parametrize("capacity", [-1, 0, 1, CAPACITY_MIN // 2, CAPACITY_MIN + 1, 100_000])
def test_capacity_is_a_power_of_two(instance: str, capacity: int) -> None:
    with pytest.raises(BusError, match=f"capacity {capacity} is not a power of two"):
        StreamSegment.create(instance, "cam", capacity)
    with pytest.raises(BusError, match=f"capacity {capacity} is not a power of two"):
        StreamSegment.check(capacity, METADATA)


@pytest.mark.parametrize("capacity", [0, 1, CAPACITY_MIN - 1, CAPACITY_MIN * 2, 2**63])
def test_a_ring_that_does_not_fit_its_segment_is_refused(
    instance: str, stream: StreamSegment, capacity: int
) -> None:
    stream.segment.words[Word.CAPACITY] = capacity
    with pytest.raises(SegmentInvalid, match=f"ring of {capacity} bytes does not fit"):
        StreamSegment.attach(instance, "cam")


def test_a_segment_without_any_ring_is_refused(instance: str) -> None:
    words = heap_segment(CAPACITY_MIN).words
    words[Word.CAPACITY], words[Word.SIZE] = 0, RING_OFFSET
    path = path_of(stream_object(instance, "cam"))
    with open(path, "wb") as file:
        file.write(words.tobytes()[:RING_OFFSET])
    with pytest.raises(SegmentInvalid, match="ring of 0 bytes"):
        StreamSegment.attach(instance, "cam")
    os.unlink(path)


def test_a_truncated_stream_is_refused(instance: str, stream: StreamSegment) -> None:
    os.truncate(path_of(stream_object(instance, "cam")), RING_OFFSET)
    with pytest.raises(SegmentInvalid, match="truncated"):
        StreamSegment.attach(instance, "cam")


def test_no_such_stream(instance: str) -> None:
    with pytest.raises(SegmentMissing, match="nobody publishes it"):
        StreamSegment.attach(instance, "cam")
    with pytest.raises(SegmentMissing):
        inspect_stream(instance, "cam")


def test_epochs_are_counted(instance: str) -> None:
    stream = StreamSegment.create(instance, "cam", CAPACITY_MIN, 41)
    assert stream.begin_epoch(7) == stream.epoch == 42
    assert stream.state is State.ATTACHING
    assert stream.publisher_pid == 7
    assert stream.begin_epoch(8) == 43
    stream.close()


@pytest.mark.parametrize("offset", [0, 1, -1, 2**62, -(2**62)])
def test_clock_offset(stream: StreamSegment, offset: int) -> None:
    stream.clock_offset_us = offset
    assert stream.clock_offset_us == offset


def test_a_new_publisher_has_no_clock_offset_yet(stream: StreamSegment) -> None:
    stream.clock_offset_us = -5
    stream.begin_epoch(1)
    assert stream.clock_offset_us == 0


@pytest.mark.parametrize(
    ("state", "retired"),
    [(State.ATTACHING, False), (State.LIVE, False), (State.RETIRED, True), (State.REPLACED, True)],
)
def test_state(stream: StreamSegment, state: State, retired: bool) -> None:
    stream.state = state
    assert stream.state is state
    assert stream.retired is retired


# The look from outside.


def test_info_before_the_first_frame(instance: str, stream: StreamSegment) -> None:
    info = inspect_stream(instance, "cam")
    assert (info.name, info.live, info.metadata, info.epoch) == ("cam", True, None, 0)
    assert (info.frames, info.key_frames, info.bytes, info.viewers) == (0, 0, 0, 0)


def test_info(instance: str, stream: StreamSegment, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.monotonic_ns()
    monkeypatch.setattr("time.monotonic_ns", lambda: clock)
    stream.begin_epoch(4321)
    stream.write_metadata(METADATA)
    writer = RingWriter(stream.segment)
    for number in range(60):
        clock += 20_000_000
        writer.append(bytes(500), key=number % 10 == 0)
    bell = open_doorbell(instance)
    reader = StreamSegment.attach(instance, "cam")
    reader.readers.claim(bell, 1).set_viewers(12)
    info = inspect_stream(instance, "cam")
    assert (info.live, info.metadata, info.publisher_pid, info.epoch) == (True, METADATA, 4321, 1)
    assert (info.frames, info.key_frames, info.bytes) == (60, 6, 30_000)
    assert (info.fps, info.bitrate, info.viewers) == (50.0, 200_000, 12)
    reader.close()
    bell.close()

    clock += 3_000_000_000
    silent = inspect_stream(instance, "cam")
    assert (silent.live, silent.fps, silent.bitrate, silent.viewers) == (True, 0.0, 0, 0)

    writer.append(b"", key=False)
    stream.segment.unlock(PUBLISHER_LOCK)
    dead = inspect_stream(instance, "cam")
    assert (dead.live, dead.fps, dead.frames) == (False, 0.0, 61)


def test_key_requests_carry_a_time(stream: StreamSegment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stream.key_wanted_ns == 0
    monkeypatch.setattr("time.perf_counter_ns", lambda: 777)
    stream.want_key()
    assert stream.key_wanted_ns == 777
