"""The map of shared memory has no overlaps and keeps what `layout` promises."""

from __future__ import annotations

import itertools

import pytest

from bus import layout
from bus.layout import Word

CACHE_LINE = 8
"""64 bytes, in words."""


def test_regions_follow_each_other() -> None:
    words_end = (max(Word) + 1) * 8
    asleep_end = layout.ASLEEP_OFFSET + layout.READER_SLOTS
    readers_end = layout.READERS_OFFSET + layout.READER_SLOTS * layout.READER_WORDS * 8
    assert words_end <= layout.ASLEEP_OFFSET
    assert asleep_end <= layout.HEADER_BYTES
    assert layout.HEADER_BYTES == layout.READERS_OFFSET
    assert readers_end == layout.METADATA_OFFSET
    assert layout.METADATA_OFFSET + 2 * layout.METADATA_BYTES == layout.RING_OFFSET
    assert layout.RING_OFFSET % 4096 == 0
    assert len(layout.ReaderWord) <= layout.READER_WORDS


def test_what_different_processes_write_lies_on_different_cache_lines() -> None:
    groups = [
        (Word.MAGIC, Word.VERSION, Word.KIND, Word.SIZE, Word.CAPACITY),
        (Word.EPOCH, Word.PUBLISHER_PID, Word.STATE, Word.METADATA_VERSION),
        (Word.TAIL_INTENT,),
        (Word.TAIL, Word.LATEST, Word.LATEST_KEY, Word.RECORDS),
        (Word.FRAMES, Word.KEY_FRAMES, Word.BYTES, Word.HEARTBEAT_NS),
        (Word.KEY_WANTED_NS,),
        (Word.GENERATION,),
    ]
    for first, second in itertools.combinations(groups, 2):
        lines = {word // CACHE_LINE for word in first} & {word // CACHE_LINE for word in second}
        assert not lines, (first, second)


def test_a_record_header_never_wraps() -> None:
    assert layout.RECORD_ALIGN % layout.RECORD_HEADER == 0
    assert layout.CAPACITY_MIN % layout.RECORD_ALIGN == 0


@pytest.mark.parametrize(("size", "aligned"), [(0, 0), (1, 32), (32, 32), (33, 64), (64, 64)])
def test_align(size: int, aligned: int) -> None:
    assert layout.align(size) == aligned


@pytest.mark.parametrize("capacity", [512, layout.CAPACITY_MIN, layout.CAPACITY_DEFAULT])
def test_the_largest_record_leaves_room_in_any_place(capacity: int) -> None:
    """With the padding before it, it takes less than half, so what it laps is behind."""
    record = layout.align(layout.RECORD_HEADER + layout.max_payload(capacity))
    assert record == capacity // 4
    assert record + (record - layout.RECORD_ALIGN) < capacity // 2
