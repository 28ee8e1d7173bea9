"""The balance gate: which worker may accept the next connection.

A worker accepts only while its own count of connections is not above that of the
least-loaded live worker, give or take one part in twenty (`SLACK_DIVISOR`) so that busy
relays need not tell each other of every connection. Counts are of open connections: after a
restart the empty worker takes all new ones until it is level.

A worker that cannot accept does not count, however few connections it has: one that is full
says so, one that hangs is known by its heartbeat.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Final

from bus.doorbell import Ringer
from bus.fence import full_fence
from bus.layout import TOKENS
from workers.table import Column, WorkerRow, WorkerState, WorkerTable

__all__ = ["GATE_TOKEN", "BalanceGate", "open_gates"]

GATE_TOKEN: Final = TOKENS - 2
"""Doorbell token by which a worker tells another that its gate may be open."""

SLACK_DIVISOR: Final = 20
STALE_NS: Final = 600_000_000
"""Age of a heartbeat at which its worker is left out: three ticks."""


class BalanceGate:
    """One worker's view of all workers' counts."""

    __slots__ = ("_mine", "_others", "_ringer")

    def __init__(self, table: WorkerTable, mine: WorkerRow, ringer: Ringer) -> None:
        self._mine = mine
        self._others = [table.row(index) for index in range(len(table)) if index != mine.index]
        self._ringer = ringer

    def is_open(self) -> bool:
        """Whether this worker may accept now; when not, it will be rung when it may."""
        if self._allowed():
            self._mine[Column.GATED] = 0
            return True
        # SYNC POINT: say that we wait, then look again; whoever calls `open_gates` stores its
        # count, fences, and looks at who waits.
        self._mine[Column.GATED] = 1
        full_fence()
        if self._allowed():
            self._mine[Column.GATED] = 0
            return True
        return False

    def _allowed(self) -> bool:
        least = self._least(time.monotonic_ns())
        return least is None or self._mine[Column.CONNECTIONS] <= least + least // SLACK_DIVISOR

    def _least(self, now_ns: int) -> int | None:
        """Smallest count among the other live workers."""
        least = None
        for row in self._others:
            if row[Column.STATE] != WorkerState.READY or row[Column.FULL]:
                continue
            if now_ns - row[Column.HEARTBEAT_NS] > STALE_NS:
                continue
            count = row[Column.CONNECTIONS]
            if least is None or count < least:
                least = count
        return least

    def recall(self) -> None:
        """This worker is new and has none: ring all others, who may have asked for one too many."""
        # SYNC POINT: the caller stored STATE; full fence; the others load it when rung.
        full_fence()
        for row in self._others:
            if row[Column.STATE] == WorkerState.READY:
                self._ringer.ring(row[Column.BELL], GATE_TOKEN)

    def tell(self) -> None:
        """This worker's count grew, or it counts no more: ring those who waited for that."""
        _open_gates(self._others, self._ringer)


def open_gates(table: WorkerTable, ringer: Ringer) -> None:
    """Ring every worker that waits for others, one of whom is gone. For the supervisor."""
    _open_gates([table.row(index) for index in range(len(table))], ringer)


def _open_gates(rows: Sequence[WorkerRow], ringer: Ringer) -> None:
    full_fence()
    for row in rows:
        if row[Column.GATED] and row[Column.STATE] == WorkerState.READY:
            # Without a descriptor to ring with, its own tick finds the gate open.
            with contextlib.suppress(OSError):
                ringer.ring(row[Column.BELL], GATE_TOKEN)
