"""The ring without concurrency: order, wrap, padding, loss, damage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bus.errors import FrameTooLarge
from bus.layout import RECORD_HEADER, RING_OFFSET, Word, max_payload
from bus.ring import Record, RingReader, RingWriter
from bus.segment import Segment
from tests.bus.heap import heap_segment

CAPACITY = 1024
LIMIT = CAPACITY // 4 - RECORD_HEADER


@pytest.fixture
def segment() -> Segment:
    return heap_segment(CAPACITY)


def data(number: int, size: int = 100) -> bytes:
    return number.to_bytes(4, "little") + bytes([number & 0xFF]) * (size - 4)


def drain(reader: RingReader) -> list[Record]:
    records = []
    while (record := reader.read()) is not None:
        records.append(record)
    return records


def test_records_come_in_order_and_once(segment: Segment) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    assert reader.read() is None
    assert not reader.pending
    for number in range(50):
        writer.append(data(number), key=number % 3 == 0)
        assert reader.pending
        (record,) = drain(reader)
        assert record == Record(data(number), number % 3 == 0, 0, 0, record.position)
        assert reader.read() is None
    assert (reader.lapped, reader.lost, reader.corrupt) == (0, 0, 0)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, LIMIT - 1, LIMIT])
def test_any_size_at_any_place(segment: Segment, size: int) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    for number in range(40):
        filler = bytes(number)
        writer.append(filler, key=False)
        writer.append(b"\xa5" * size, key=True)
        assert [r.data for r in drain(reader)] == [filler, b"\xa5" * size]
    assert reader.lost == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(segment: Segment, kind: type[bytes]) -> None:
    reader = RingReader(segment)
    RingWriter(segment).append(kind(b"abc"), key=True)
    assert [r[:4] for r in drain(reader)] == [(b"abc", True, 0, 0)]


def test_too_large_names_the_limit_and_changes_nothing(segment: Segment) -> None:
    writer = RingWriter(segment)
    before = bytes(segment.view)
    with pytest.raises(FrameTooLarge, match=f"{LIMIT + 1} bytes .* limit of {LIMIT} bytes"):
        writer.append(bytes(LIMIT + 1), key=True)
    assert bytes(segment.view) == before
    assert max_payload(CAPACITY) == LIMIT


# Where readers begin.


def test_a_new_reader_begins_at_the_newest_key_frame(segment: Segment) -> None:
    writer = RingWriter(segment)
    for number, key in enumerate([True, False, True, False, False]):
        writer.append(data(number), key=key)
    reader = RingReader(segment)
    assert [r.data for r in drain(reader)] == [data(n) for n in (2, 3, 4)]
    assert reader.lost == 0


def test_a_new_reader_begins_at_the_tail_without_a_key_frame(segment: Segment) -> None:
    writer = RingWriter(segment)
    writer.append(data(0), key=False)
    reader = RingReader(segment)
    assert reader.read() is None
    writer.append(data(1), key=False)
    assert [r[:4] for r in drain(reader)] == [(data(1), False, 0, 0)]


def test_an_overwritten_key_frame_is_no_beginning(segment: Segment) -> None:
    writer = RingWriter(segment)
    writer.append(data(0), key=True)
    for number in range(1, 20):
        writer.append(data(number), key=False)
    reader = RingReader(segment)
    assert reader.read() is None
    assert not reader.seek_key()


def test_seek_key_goes_forward_and_back(segment: Segment) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    for number, key in enumerate([True, False, True, False]):
        writer.append(data(number), key=key)
    assert reader.seek_key()
    assert [r.data for r in drain(reader)] == [data(2), data(3)]
    assert reader.seek_key()
    assert [r.data for r in drain(reader)] == [data(2), data(3)]
    assert reader.lost == 0


def test_seek_tail_skips_uncounted(segment: Segment) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    writer.append(data(0), key=True)
    reader.seek_tail()
    assert not reader.pending
    writer.append(data(1), key=False)
    assert [r[:4] for r in drain(reader)] == [(data(1), False, 0, 0)]
    assert reader.lost == 0


def test_seek_start_goes_to_the_first_record_of_this_writer(segment: Segment) -> None:
    RingWriter(segment).append(data(0), key=True)
    writer, reader = RingWriter(segment), RingReader(segment)
    assert reader.seek_start()
    assert not reader.pending
    writer.append(data(1), key=False)
    writer.append(data(2), key=True)
    assert reader.seek_start()
    assert [r.data for r in drain(reader)] == [data(1), data(2)]


def test_seek_start_falls_back_to_the_newest_key_frame(segment: Segment) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    for number in range(20):
        writer.append(data(number), key=number == 17)
    assert not reader.seek_start()
    assert [r.data for r in drain(reader)] == [data(17), data(18), data(19)]


def test_loss_is_exact_for_who_begins_at_padding(segment: Segment) -> None:
    RingWriter(segment).append(bytes(32 * 4), key=True)
    for _ in range(5):
        RingWriter(segment).append(bytes(32 * 3), key=True)
    writer, reader = RingWriter(segment), RingReader(segment)
    writer.append(bytes(LIMIT), key=False)
    assert segment.words[Word.TAIL] == CAPACITY + LIMIT + RECORD_HEADER, "there is padding"
    reader.seek_start()
    for number in range(20):
        writer.append(data(number), key=False)
    (last,) = drain(reader)
    assert (last.data, last.lost) == (data(19), 20)


def test_bytes_behind(segment: Segment) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    assert reader.bytes_behind == 0
    writer.append(data(0), key=True)
    assert reader.bytes_behind == 160
    reader.read()
    assert reader.bytes_behind == 0


# Loss.


def test_lapped_reader(segment: Segment) -> None:
    """Three laps late: the newest key frame comes next, with the exact number of the lost."""
    writer, reader = RingWriter(segment), RingReader(segment)
    per_lap = 3 * (CAPACITY // 160)
    written = 0
    for newest_key in (per_lap - 2, 3 * per_lap - 4):
        writer.append(data(written), key=True)
        last_read = written
        assert [r.data for r in drain(reader)] == [data(written)]
        written += 1
        missed, lapped = reader.lost, reader.lapped
        while written <= newest_key + 3:
            writer.append(data(written), key=written in (newest_key, newest_key - 5))
            written += 1
        first, *rest = drain(reader)
        lost = newest_key - last_read - 1
        assert (first.data, first.key, first.lost) == (data(newest_key), True, lost)
        assert [(r.data, r.lost) for r in rest] == [(data(newest_key + n), 0) for n in (1, 2, 3)]
        assert reader.lost - missed == lost
        assert reader.lapped == lapped + 1
    assert reader.corrupt == 0


def test_lapped_before_its_first_read(segment: Segment) -> None:
    writer = RingWriter(segment)
    writer.append(data(0), key=True)
    reader = RingReader(segment)
    for number in range(1, 30):
        writer.append(data(number), key=number == 28)
    first, _second = drain(reader)
    assert (first.data, first.lost, reader.lost) == (data(28), 28, 28)


def test_lapped_without_a_key_frame_ahead_goes_to_the_newest_record(segment: Segment) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    for number in range(30):
        writer.append(data(number), key=False)
    assert [r[:4] for r in drain(reader)] == [(data(29), False, 0, 29)]


def test_a_key_frame_that_was_read_is_not_read_again(segment: Segment) -> None:
    """Also when it is the newest one and all after it was overwritten."""
    writer, reader = RingWriter(segment), RingReader(segment)
    writer.append(data(0), key=True)
    drain(reader)
    for number in range(1, 8):
        writer.append(data(number, 8), key=False)
        if number == 2:
            reader.read()
    for number in range(8, 12):
        writer.append(data(number, LIMIT), key=False)
    assert [r.data for r in drain(reader)] == [data(11, LIMIT)]


# What was read is read once more.


@pytest.mark.parametrize("prefix", [None, lambda length: b"%d:" % length])
def test_a_record_can_be_read_again_until_it_is_overwritten(
    segment: Segment, prefix: Callable[[int], bytes] | None
) -> None:
    writer, reader = RingWriter(segment), RingReader(segment, prefix)
    for number in range(30):
        writer.append(data(number), key=number % 5 == 0)
        if number == 3:
            records = drain(reader)
        if number >= 3:
            # A record of 100 bytes takes 160 of the ring's 1024, and some of that is padding.
            held = [reader.again(record.position) for record in records]
            first = next((at for at, one in enumerate(held) if one is not None), len(held))
            assert held[first:] == [record.data for record in records[first:]]
            assert first == max(0, min(4, number - 5))


# A writer after a writer.


def test_the_next_writer_goes_on(segment: Segment) -> None:
    reader = RingReader(segment)
    for number in range(30):
        RingWriter(segment).append(data(number), key=True)
        assert [r[:4] for r in drain(reader)] == [(data(number), True, 0, 0)]


def test_key_frames_of_the_last_writer_are_no_beginning(segment: Segment) -> None:
    RingWriter(segment).append(data(0), key=True)
    writer = RingWriter(segment)
    reader = RingReader(segment)
    assert not reader.pending
    writer.append(data(1), key=True)
    assert [r.data for r in drain(RingReader(segment))] == [data(1)]


# Damage: only a broken machine or a foreign hand does this.


def test_a_damaged_payload_is_counted_and_not_delivered(segment: Segment) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    for number in range(3):
        writer.append(data(number), key=True)
    segment.view[RING_OFFSET + 160 + RECORD_HEADER + 50] ^= 1
    records = drain(reader)
    assert [(r.data, r.lost) for r in records] == [(data(0), 0), (data(2), 1)]
    assert (reader.corrupt, reader.lost) == (1, 1)


@pytest.mark.parametrize("word", [0, 1])
def test_a_damaged_header_is_jumped_over(segment: Segment, word: int) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    for number in range(4):
        writer.append(data(number), key=number == 0)
    segment.words[(RING_OFFSET + 160) // 8 + word] = 2**64 - 1
    assert [r.data for r in drain(reader)] == [data(0), data(3)]
    assert (reader.corrupt, reader.lost) == (1, 2)


def test_a_damaged_newest_record_is_passed(segment: Segment) -> None:
    writer, reader = RingWriter(segment), RingReader(segment)
    writer.append(data(0), key=True)
    segment.words[RING_OFFSET // 8] = 77
    assert reader.read() is None
    writer.append(data(1), key=False)
    assert [r[:4] for r in drain(reader)] == [(data(1), False, 0, 1)]


def test_the_same_bytes_of_a_lap_before_are_no_record(segment: Segment) -> None:
    """The checksum is seeded with the position."""
    writer = RingWriter(segment)
    for _ in range(40):
        writer.append(data(7, 224), key=True)
    checksums = {segment.words[(RING_OFFSET + place) // 8 + 3] for place in range(0, 1024, 256)}
    assert len(checksums) == 4


# Statistics.


def test_totals(segment: Segment) -> None:
    writer = RingWriter(segment)
    for number in range(10):
        writer.append(data(number), key=number % 4 == 0)
    words = segment.words
    assert (words[Word.FRAMES], words[Word.KEY_FRAMES], words[Word.BYTES]) == (10, 3, 1000)
    RingWriter(segment).append(b"", key=True)
    assert (words[Word.FRAMES], words[Word.KEY_FRAMES], words[Word.RECORDS]) == (11, 4, 11)


def test_rates(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 5 * 10**9
    monkeypatch.setattr("time.monotonic_ns", lambda: clock)
    writer = RingWriter(segment)
    for number in range(50):
        clock += 40_000_000
        writer.append(data(number, 125), key=True)
        assert segment.words[Word.HEARTBEAT_NS] == clock
    assert segment.words[Word.MILLI_FPS] == 25_000
    assert segment.words[Word.BITRATE] == 25_000


def test_a_prefix_is_put_before_each_record(segment: Segment) -> None:
    writer = RingWriter(segment)
    reader = RingReader(segment, lambda length: b"%d:" % length)
    frames = [b"", b"a", data(1, LIMIT)]
    for frame in frames:
        writer.append(frame, key=False)
    assert [r.data for r in drain(reader)] == [b"%d:" % len(each) + each for each in frames]


def test_a_corrupt_record_is_lost_behind_a_prefix_too(segment: Segment) -> None:
    writer, reader = RingWriter(segment), RingReader(segment, lambda _: b"head")
    writer.append(b"first", key=True)
    segment.view[RING_OFFSET + RECORD_HEADER] ^= 1
    writer.append(b"second", key=True)
    (record,) = drain(reader)
    assert (record.data, record.lost, reader.corrupt) == (b"headsecond", 1, 1)
