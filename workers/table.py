"""The table of workers: one row for each worker process, in shared memory.

A row is written by its worker alone, except for the fields that the supervisor owns, and
read by anybody: any worker can answer for the whole relay, the acceptors balance by it, and
`relay-top` reads it without asking anyone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from bus.errors import BusError
from bus.layout import HEADER_BYTES, Kind
from bus.names import workers_object
from bus.segment import Segment

__all__ = ["Column", "WorkerRow", "WorkerState", "WorkerStats", "WorkerTable"]

_ROW_BYTES: Final = 1024
_ROW_WORDS: Final = _ROW_BYTES // 8
_SUPERVISOR_LOCK: Final = 0
_ROWS_WORD: Final = 8
_SUPERVISOR_PID_WORD: Final = 9
_URL_OFFSET: Final = 128
_URL_BYTES: Final = 256


class WorkerState(IntEnum):
    """Life of a worker."""

    FREE = 0
    STARTING = 1
    READY = 2
    DRAINING = 3


class Column(IntEnum):
    """Index of a word within a row."""

    # Written by the supervisor.
    STATE = 0
    """By the supervisor until the worker runs, then by the worker, at the end by the supervisor."""
    SLOT = 1
    PID = 2
    GENERATION = 3
    RESTARTS = 4
    CPU_MILLI = 5
    """CPU time in 1/1000 of a core, over the last sample."""
    RSS = 6
    STARTED_NS = 7
    # Written by the worker.
    HEARTBEAT_NS = 8
    ENGINE = 9
    CONNECTIONS = 10
    VIEWERS = 11
    PUBLISHERS = 12
    FRAMES_SENT = 13
    BYTES_SENT = 14
    FRAMES_IN = 15
    BYTES_IN = 16
    SKIPPED_NETWORK = 17
    SKIPPED_DECODER = 18
    SKIPPED_HIDDEN = 19
    SKIPPED_WORKER = 20
    ACCEPTED = 21
    ACCEPT_ERRORS = 22
    BELL = 23
    """Id of the worker's doorbell, by which other workers open its gate."""
    GATED = 24
    """1 while the worker waits for other workers to catch up before it accepts."""
    REFUSED_NAME = 25
    REFUSED_AUTH = 26
    REFUSED_BUSY = 27
    REFUSED_LIMIT = 28
    REFUSED_REQUEST = 29
    REFUSED_PROTOCOL = 30
    CLOSED_STALLED = 31
    CLOSED_SILENT = 32
    LAPPED_RECORDS = 33
    CORRUPT_RECORDS = 34
    HANDSHAKES = 35
    HTTP_REQUESTS = 36
    KEY_REQUESTS = 37
    FULL = 38
    """1 while the worker takes no connections for want of descriptors or memory."""
    REFUSED_TLS = 39
    CERTIFICATE_EXPIRES = 40
    """Unix time in seconds; 0: no TLS."""
    # What viewers report; see `workers.viewer_reports`.
    VIEWER_DECODED = 64
    VIEWER_DROPPED = 65
    LATENCY_US = 66
    """Sum of all capture-to-paint latencies."""
    LATENCY_0 = 67
    """How many of them were in the first bucket; the other buckets follow."""
    LATENCY_1 = 68
    LATENCY_2 = 69
    LATENCY_3 = 70
    LATENCY_4 = 71
    LATENCY_5 = 72
    LATENCY_6 = 73
    LATENCY_7 = 74
    LATENCY_8 = 75
    LATENCY_9 = 76
    LATENCY_10 = 77
    SEND_DELAY_US = 80
    """Sum of all times from a frame's arrival to its handing over to a socket."""
    SEND_DELAY_0 = 81
    SEND_DELAY_1 = 82
    SEND_DELAY_2 = 83
    SEND_DELAY_3 = 84
    SEND_DELAY_4 = 85
    SEND_DELAY_5 = 86
    SEND_DELAY_6 = 87
    SEND_DELAY_7 = 88
    SEND_DELAY_8 = 89
    SEND_DELAY_9 = 90
    SEND_DELAY_10 = 91
    SEND_DELAY_11 = 92


ENGINES: Final = ("", "asyncio", "uring")
"""Names behind Column.ENGINE."""


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """A copy of one row.

    Attributes:
        values: every column by name, as integers.
        state: the worker's state.
        heartbeat_age: seconds since the worker's last sign of life.
    """

    values: dict[Column, int]
    state: WorkerState
    heartbeat_age: float

    def __getitem__(self, column: Column) -> int:
        return self.values[column]

    @property
    def engine(self) -> str:
        """Name of the worker's engine, empty before it chose."""
        return ENGINES[self.values[Column.ENGINE]]


class WorkerRow:
    """One row, for its writer.

    Attributes:
        words: the row itself, for who counts with every frame; by `Column`.
        index: its place in the table.
    """

    __slots__ = ("index", "words")

    def __init__(self, words: memoryview, index: int) -> None:
        self.words = words
        self.index = index

    def __getitem__(self, column: Column) -> int:
        return int(self.words[column])

    def __setitem__(self, column: Column, value: int) -> None:
        self.words[column] = value

    def add(self, column: Column, amount: int = 1) -> None:
        """Count; only the row's writer may."""
        self.words[column] += amount

    def clear(self) -> None:
        """Zero the row; its state becomes FREE first."""
        for index in range(_ROW_WORDS):
            self.words[index] = 0


class WorkerTable:
    """All rows of one instance."""

    __slots__ = ("_rows", "_segment")

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._rows = []
        for index in range(segment.words[_ROWS_WORD]):
            start = HEADER_BYTES + index * _ROW_BYTES
            words = segment.slice_words(start, start + _ROW_BYTES)
            self._rows.append(WorkerRow(words, index))

    @classmethod
    def create(cls, instance: str, rows: int, supervisor_pid: int) -> Self:
        """Make the instance's table; the caller is its only supervisor.

        Raises:
            BusError: when another supervisor runs the instance.
            NoSpace, SegmentInvalid: when the segment cannot be made or is in the way.
        """
        name = workers_object(instance)
        while True:
            try:
                old = Segment.attach(name, Kind.WORKERS)
            except LookupError:
                segment = Segment.create(name, Kind.WORKERS, HEADER_BYTES + rows * _ROW_BYTES)
                segment.words[_ROWS_WORD] = rows
                segment.words[_SUPERVISOR_PID_WORD] = supervisor_pid
                segment.try_lock(_SUPERVISOR_LOCK)
                if segment.publish():
                    return cls(segment)
                segment.close()
                continue
            try:
                if not old.try_lock(_SUPERVISOR_LOCK):
                    raise BusError(
                        f"instance {instance!r} is already run by the supervisor with pid "
                        f"{old.words[_SUPERVISOR_PID_WORD]}; choose another name with --instance"
                    )
                old.unlink()
            finally:
                old.close()

    @classmethod
    def attach(cls, instance: str) -> Self:
        """Map the table of a running relay.

        Raises:
            SegmentMissing: when no supervisor runs this instance.
            SegmentInvalid: when its segment cannot be read.
        """
        return cls(Segment.attach(workers_object(instance), Kind.WORKERS))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def supervisor_pid(self) -> int:
        """Process that made the table."""
        return int(self._segment.words[_SUPERVISOR_PID_WORD])

    @property
    def url(self) -> str:
        """Where the relay serves; empty before it does. Set by the supervisor."""
        raw = bytes(self._segment.view[_URL_OFFSET : _URL_OFFSET + _URL_BYTES])
        return raw.rstrip(b"\0").decode("ascii", "replace")

    @url.setter
    def url(self, url: str) -> None:
        raw = url.encode("ascii")[:_URL_BYTES].ljust(_URL_BYTES, b"\0")
        self._segment.view[_URL_OFFSET : _URL_OFFSET + _URL_BYTES] = raw

    def supervisor_alive(self) -> bool:
        """Whether the supervisor still runs."""
        return self._segment.locked_elsewhere(_SUPERVISOR_LOCK)

    def row(self, index: int) -> WorkerRow:
        """One row."""
        return self._rows[index]

    def rows(self) -> list[WorkerStats]:
        """Copies of all rows in use, by slot and then generation."""
        now = time.monotonic_ns()
        found = []
        for row in self._rows:
            words = row.words.tolist()
            if words[Column.STATE] == WorkerState.FREE:
                continue
            values = {column: words[column] for column in Column}
            age = (now - words[Column.HEARTBEAT_NS]) / 1e9
            found.append(WorkerStats(values, WorkerState(words[Column.STATE]), age))
        found.sort(key=lambda row: (row[Column.SLOT], row[Column.GENERATION]))
        return found

    def unlink(self) -> None:
        """Remove the table's name."""
        self._segment.unlink()

    def close(self) -> None:
        """Unmap."""
        self._segment.close()
