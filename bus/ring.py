"""The ring: one writer, any number of readers, loss instead of waiting.

Writers allowed: the one process that holds the segment's publisher lock.
Readers allowed: any number; none can delay the writer or another reader.

The writer, for each record: (1) raise TAIL_INTENT, (2) write the record, (3) commit TAIL.
A reader copies first and asks afterwards whether what it copied could have been
overwritten meanwhile. A writer that dies anywhere leaves at worst an intent above the
tail, which the next writer turns into padding. A reader that dies leaves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from bus.checksum import crc32
from bus.errors import FrameTooLarge
from bus.fence import full_fence
from bus.layout import (
    RECORD_HEADER,
    RING_OFFSET,
    RecordKind,
    Word,
    align,
    max_payload,
)
from bus.segment import Segment

__all__ = ["Record", "RingReader", "RingWriter"]

_INTENT: Final = int(Word.TAIL_INTENT)
_TAIL: Final = int(Word.TAIL)
_LATEST: Final = int(Word.LATEST)
_LATEST_KEY: Final = int(Word.LATEST_KEY)
_RECORDS: Final = int(Word.RECORDS)
_METADATA: Final = int(Word.METADATA_VERSION)

_KIND_SHIFT: Final = 32
_KEY_SHIFT: Final = 40
_LOW_32: Final = 0xFFFFFFFF
_FRAME: Final = RecordKind.FRAME << _KIND_SHIFT
_FRAME_KEY: Final = _FRAME | 1 << _KEY_SHIFT
_PADDING: Final = RecordKind.PADDING << _KIND_SHIFT
_RATE_WINDOW_NS: Final = 1_000_000_000


class RingWriter:
    """Appends records. See the module for who may."""

    __slots__ = (
        "_capacity",
        "_limit",
        "_mask",
        "_rate_bytes",
        "_rate_frames",
        "_rate_since",
        "_ring",
        "_ring_words",
        "_words",
    )

    def __init__(self, segment: Segment) -> None:
        """Continue where the last writer stopped or died.

        The caller holds the publisher lock.
        """
        self._words = words = segment.words
        self._capacity: int = words[Word.CAPACITY]
        self._mask = self._capacity - 1
        self._limit = max_payload(self._capacity)
        self._ring = segment.slice(RING_OFFSET, RING_OFFSET + self._capacity)
        self._ring_words = segment.slice_words(RING_OFFSET, RING_OFFSET + self._capacity)
        self._rate_since = time.monotonic_ns()
        self._rate_frames = self._rate_bytes = 0
        words[_LATEST_KEY] = 0
        tail, intent = words[_TAIL], words[_INTENT]
        if intent > tail:
            # The last writer died between (1) and (3). Nobody has read there: skip it.
            length = intent - tail - RECORD_HEADER
            self._write_header(tail, length | _PADDING, words[_RECORDS], 0)
            full_fence()
            words[_LATEST] = intent
            words[_TAIL] = intent
        words[Word.EPOCH_START] = words[_TAIL]

    def append(self, payload: bytes | bytearray | memoryview, *, key: bool) -> None:
        """Publish one record.

        Raises:
            FrameTooLarge: when ``payload`` exceeds a quarter of the ring.
        """
        length = len(payload)
        if length > self._limit:
            raise FrameTooLarge(length, self._limit)
        words = self._words
        tail: int = words[_TAIL]
        size = align(RECORD_HEADER + length)
        to_end = self._capacity - (tail & self._mask)
        start = tail if size <= to_end else tail + to_end
        end = start + size

        # (1) Intent: from here on, readers distrust what this record will overwrite.
        # SYNC POINT: store TAIL_INTENT before any byte of the record.
        words[_INTENT] = end
        full_fence()

        # (2) The record.
        number: int = words[_RECORDS]
        if start != tail:
            self._write_header(tail, to_end - RECORD_HEADER | _PADDING, number, 0)
        offset = (start & self._mask) + RECORD_HEADER
        self._ring[offset : offset + length] = payload
        self._write_header(
            start,
            length | (_FRAME_KEY if key else _FRAME),
            number,
            crc32(payload, start & _LOW_32),
        )
        words[_RECORDS] = number + 1

        # (3) Commit. SYNC POINT: every byte of the record before TAIL.
        full_fence()
        words[_LATEST] = start
        if key:
            words[_LATEST_KEY] = start + 1
        words[_TAIL] = end
        self._count(length, key)

    def _write_header(self, position: int, length_kind: int, number: int, crc: int) -> None:
        index = (position & self._mask) >> 3
        words = self._ring_words
        words[index] = position
        words[index + 1] = length_kind
        words[index + 2] = number
        words[index + 3] = crc | (self._words[_METADATA] & _LOW_32) << 32

    def _count(self, length: int, key: bool) -> None:
        words = self._words
        now = time.monotonic_ns()
        words[Word.HEARTBEAT_NS] = now
        words[Word.FRAMES] += 1
        words[Word.BYTES] += length
        if key:
            words[Word.KEY_FRAMES] += 1
        self._rate_frames += 1
        self._rate_bytes += length
        elapsed = now - self._rate_since
        if elapsed >= _RATE_WINDOW_NS:
            words[Word.MILLI_FPS] = self._rate_frames * 10**12 // elapsed
            words[Word.BITRATE] = self._rate_bytes * 8 * 10**9 // elapsed
            self._rate_since, self._rate_frames, self._rate_bytes = now, 0, 0


class Record(NamedTuple):
    """One record, copied out whole and checked.

    Attributes:
        data: the frame as its publisher packed it, behind the reader's prefix for its length.
        key: whether it is a key frame.
        metadata_version: low 32 bits of the version of the metadata it belongs to.
        lost: records between the previous one returned (or where the reader began) and this
            one that this reader will never see.
        position: where it lies, in bytes since the ring began.
    """

    data: bytes
    key: bool
    metadata_version: int
    lost: int
    position: int


class RingReader:
    """Reads records in order, or jumps when the writer has lapped it.

    Attributes:
        lapped: how often this reader had to jump.
        lost: records missed by jumping, in total.
        corrupt: records whose checksum was wrong although they should have been intact.
    """

    __slots__ = (
        "_capacity",
        "_limit",
        "_mask",
        "_next",
        "_position",
        "_prefix",
        "_ring",
        "_ring_words",
        "_words",
        "corrupt",
        "lapped",
        "lost",
    )

    def __init__(self, segment: Segment, prefix: Callable[[int], bytes] | None = None) -> None:
        """Start at the newest key frame, or at the tail when there is none.

        Args:
            segment: whose ring is read.
            prefix: what to put before a frame of so many bytes, so that it is copied once only.
        """
        self._prefix = prefix
        self._words = words = segment.words
        self._capacity: int = words[Word.CAPACITY]
        self._mask = self._capacity - 1
        self._limit = max_payload(self._capacity)
        self._ring = segment.slice(RING_OFFSET, RING_OFFSET + self._capacity)
        self._ring_words = segment.slice_words(RING_OFFSET, RING_OFFSET + self._capacity)
        self.lapped = self.lost = self.corrupt = 0
        self._position = 0
        # Number expected of the next record; None: unknown, whatever comes is the first.
        self._next: int | None = None
        self.seek_key()

    def seek_key(self) -> bool:
        """Go to the newest key frame; False (and to the tail) when the ring has none."""
        tail: int = self._words[_TAIL]
        key: int = self._words[_LATEST_KEY] - 1
        if 0 <= key < tail and self._intact(key):
            self._seek(key)
            return True
        self._seek(tail)
        return False

    def seek_start(self) -> bool:
        """Go to the publisher's first record; False (and as `seek_key`) when it is overwritten."""
        start: int = self._words[Word.EPOCH_START]
        if self._intact(start):
            self._seek(start)
            return True
        self.seek_key()
        return False

    def seek_tail(self) -> None:
        """Skip everything that is in the ring."""
        self._seek(self._words[_TAIL])

    def _seek(self, position: int) -> None:
        self._position = position
        self._next = self._number_at(position)

    def _number_at(self, position: int) -> int | None:
        """Number of the record at ``position``; None when the writer is busy there."""
        words = self._words
        if position == words[_TAIL]:
            full_fence()
            records: int = words[_RECORDS]
            # SYNC POINT: no intent above the tail after RECORDS: none was begun before it.
            full_fence()
            return records if words[_INTENT] == position else None
        full_fence()
        index = (position & self._mask) >> 3
        at, _, number, _ = self._ring_words[index : index + 4]
        full_fence()
        return number if at == position and self._intact(position) else None

    @property
    def position(self) -> int:
        """Where it reads next, in bytes since the ring began."""
        return self._position

    @property
    def pending(self) -> bool:
        """Whether `read` would find something."""
        return bool(self._position != self._words[_TAIL])

    @property
    def bytes_behind(self) -> int:
        """How far the tail is ahead of this reader, in bytes of ring."""
        return int(self._words[_TAIL]) - self._position

    def _intact(self, position: int) -> bool:
        return bool(self._words[_INTENT] - position <= self._capacity)

    def read(self) -> Record | None:
        """The next record, or None when there is none yet."""
        words = self._words
        while True:
            position = self._position
            if position == words[_TAIL]:
                return None
            # SYNC POINT: load TAIL before any byte of the record.
            full_fence()
            index = (position & self._mask) >> 3
            at, length_kind, number, crc_version = self._ring_words[index : index + 4]
            length = length_kind & _LOW_32
            kind = length_kind >> _KIND_SHIFT & 0xFF
            plausible = at == position and (
                kind == RecordKind.PADDING or (kind == RecordKind.FRAME and length <= self._limit)
            )
            data = self._copy(position, length) if plausible and kind == RecordKind.FRAME else b""
            # SYNC POINT: every byte copied before TAIL_INTENT is asked.
            full_fence()
            if not self._intact(position):
                self._jump()
                continue
            if not plausible:
                self.corrupt += 1
                self._jump()
                continue
            self._position = position + align(RECORD_HEADER + length)
            if kind == RecordKind.PADDING:
                continue
            checked = memoryview(data)[len(data) - length :]
            if crc32(checked, position & _LOW_32) != crc_version & _LOW_32:
                # Not counted into _next: the gap shows as a lost record.
                self.corrupt += 1
                continue
            lost = 0 if self._next is None else number - self._next
            self._next = number + 1
            self.lost += lost
            key = bool(length_kind >> _KEY_SHIFT & 1)
            return Record(data, key, crc_version >> 32, lost, position)

    def again(self, position: int) -> bytes | None:
        """The data of a record that `read` returned before; None once it is overwritten.

        Args:
            position: the record's.
        """
        full_fence()
        index = (position & self._mask) >> 3
        at, length_kind = self._ring_words[index : index + 2]
        # SYNC POINT: the header before TAIL_INTENT: its length is that which was checked.
        full_fence()
        if at != position or not self._intact(position):
            return None
        data = self._copy(position, length_kind & _LOW_32)
        # SYNC POINT: every byte copied before TAIL_INTENT is asked.
        full_fence()
        return data if self._intact(position) else None

    def _copy(self, position: int, length: int) -> bytes:
        """A frame's bytes, whatever they are by now, behind their prefix."""
        offset = (position & self._mask) + RECORD_HEADER
        frame = self._ring[offset : offset + length]
        return bytes(frame) if self._prefix is None else b"".join((self._prefix(length), frame))

    def _jump(self) -> None:
        """Go to the newest key frame if it lies ahead and is intact, else to the newest record."""
        self.lapped += 1
        words = self._words
        here = self._position
        # LATEST and LATEST_KEY are stored before TAIL: while they lead to a record that is
        # not committed they lead nowhere. Nor back, or a record would come twice.
        tail: int = words[_TAIL]
        key: int = words[_LATEST_KEY] - 1
        latest: int = words[_LATEST]
        if here < key < tail and self._intact(key):
            self._position = key
        elif here < latest < tail:
            self._position = latest
        else:
            self._position = tail
