"""The viewers of one worker, in shared memory: written by the worker alone, read by anybody.

Any worker can list the whole relay's viewers, and so can `relay-top`, without asking anyone
and without waiting for a worker that hangs. A row::

    word 0      number of the viewer in its worker; 0: free
    word 1      when it came, Unix time in microseconds
    word 2      how far it is behind, microseconds
    words 3-6   frames that it was not sent, by cause, in the order of `SkipCause`
    words 7-8   its address: 16 bytes, IPv4 as mapped into IPv6
    words 9-16  its stream's name in ASCII, zero-padded

SYNC POINT: the number is stored last and cleared first. A reader copies the row and looks at
the number again; a row that changed hands in between is left out.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bus.errors import SegmentMissing
from bus.layout import HEADER_BYTES, Kind
from bus.names import viewers_object
from bus.segment import Segment, remove_dead
from workers.viewer import SkipCause

__all__ = ["ViewerEntry", "ViewerRow", "ViewerTable", "read_viewers", "remove_viewers"]

_OWNER_LOCK: Final = 0
_USED_WORD: Final = 8
"""Header word: rows that were ever in use; none is behind them."""
_ROW_WORDS: Final = 17
_NUMBER, _SINCE, _LAG, _SKIPS, _ADDRESS = 0, 1, 2, 3, 7
_CAUSES: Final = {cause: _SKIPS + index for index, cause in enumerate(SkipCause)}
_TEXTS: Final = struct.Struct("=16s64s")
_MAPPED: Final = bytes(10) + b"\xff\xff"
_NOWHERE: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class ViewerRow:
    """A copy of a row.

    Attributes:
        number: of the viewer in its worker.
        stream: what it watches.
        address: its IP address.
        since: Unix time in seconds.
        lag: seconds that it is behind.
        skipped: frames not sent, by cause.
    """

    number: int
    stream: str
    address: str
    since: float
    lag: float
    skipped: dict[SkipCause, int]


class ViewerEntry:
    """One row, for its writer."""

    __slots__ = ("_base", "_lag", "_words", "index")

    def __init__(self, words: memoryview, index: int) -> None:
        self._words = words
        self._base = index * _ROW_WORDS
        self._lag = 0
        self.index = index

    @property
    def lag(self) -> float:
        """Seconds behind, as said last."""
        return self._lag / 1e6

    def fill(self, number: int, stream: str, address: str) -> None:
        """Begin to use the row."""
        words, base = self._words, self._base
        texts = memoryview(_TEXTS.pack(_packed(address), stream.encode("ascii"))).cast("Q")
        words[base + _SINCE : base + _ROW_WORDS] = memoryview(
            struct.pack("=6Q", time.time_ns() // 1000, 0, 0, 0, 0, 0) + texts.tobytes()
        ).cast("Q")
        words[base + _NUMBER] = number

    def clear(self) -> None:
        """Use it no more."""
        self._words[self._base + _NUMBER] = 0

    def skip(self, cause: SkipCause, count: int) -> None:
        """Count frames that it is not sent."""
        self._words[self._base + _CAUSES[cause]] += count

    def behind(self, seconds: float) -> None:
        """Say how far it is behind."""
        lag = int(seconds * 1e6)
        if lag != self._lag:
            self._lag = self._words[self._base + _LAG] = lag


class ViewerTable:
    """A worker's own."""

    def __init__(self, instance: str, pid: int, rows: int) -> None:
        """Make it.

        Raises:
            NoSpace: when there is no shared memory for it.
        """
        name = viewers_object(instance, pid)
        # Of a process that had this id before.
        remove_dead(name)
        size = HEADER_BYTES + rows * _ROW_WORDS * 8
        self._segment = Segment.create(name, Kind.VIEWERS, size)
        self._words = self._segment.slice_words(HEADER_BYTES, size)
        self._segment.try_lock(_OWNER_LOCK)
        self._segment.publish()
        self._free: list[int] = []
        self._used = 0

    def join(self, number: int, stream: str, address: str) -> ViewerEntry:
        """A row for a viewer; there is one for each that the worker may have."""
        if self._free:
            index = self._free.pop()
        else:
            index = self._used
            self._used += 1
        entry = ViewerEntry(self._words, index)
        entry.fill(number, stream, address)
        self._segment.words[_USED_WORD] = self._used
        return entry

    def leave(self, entry: ViewerEntry) -> None:
        """Give a row back."""
        entry.clear()
        self._free.append(entry.index)

    def close(self) -> None:
        """Remove it."""
        self._segment.unlink()
        self._segment.close()


def read_viewers(instance: str, pid: int) -> list[ViewerRow]:
    """The viewers of a worker, in no order; none of a worker that is gone."""
    try:
        segment = Segment.attach(viewers_object(instance, pid), Kind.VIEWERS)
    except SegmentMissing:
        return []
    with contextlib.closing(segment):
        words = segment.slice_words(HEADER_BYTES, len(segment.view))
        used = min(segment.words[_USED_WORD], len(words) // _ROW_WORDS)
        return list(_rows(words, used))


def _rows(words: memoryview, used: int) -> Iterator[ViewerRow]:
    for base in range(0, used * _ROW_WORDS, _ROW_WORDS):
        number = words[base]
        if not number:
            continue
        copy = words[base : base + _ROW_WORDS].tobytes()
        if words[base] != number:
            continue
        row = memoryview(copy).cast("Q")
        address, stream = _TEXTS.unpack_from(copy, _ADDRESS * 8)
        yield ViewerRow(
            number,
            stream.rstrip(b"\0").decode("ascii", "replace"),
            _unpacked(address),
            row[_SINCE] / 1e6,
            row[_LAG] / 1e6,
            {cause: row[at] for cause, at in _CAUSES.items()},
        )


def remove_viewers(instance: str, pid: int) -> None:
    """Remove what a worker left that did not live to do it."""
    remove_dead(viewers_object(instance, pid))


@functools.lru_cache(maxsize=4096)
def _packed(address: str) -> bytes:
    try:
        packed = ipaddress.ip_address(address.partition("%")[0]).packed
    except ValueError:
        return _NOWHERE
    return packed if len(packed) == 16 else _MAPPED + packed


def _unpacked(raw: bytes) -> str:
    parsed = ipaddress.IPv6Address(raw)
    return str(parsed.ipv4_mapped or parsed)
