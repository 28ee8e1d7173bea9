"""What viewers say of themselves in ``stats`` messages, as counters of their worker.

A report is a stranger's word: it can be absent, absurd or far too frequent, and is then
ignored. No viewer is closed for it, and none can outweigh the others by more than one report
a second. Pure, but for the row that it counts in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from workers.row_histogram import PAINT_LATENCY
from workers.table import Column, WorkerRow

__all__ = ["ViewerReports"]

_INTERVAL: Final = 1.0
"""Seconds between two reports of one viewer that count; the player's are five apart."""
_LATENCY_LIMIT_MS: Final = 60_000.0
"""A longer one is a clock that was set meanwhile."""
_FRAMES_LIMIT: Final = 10_000
"""Frames between two reports: ten seconds of the fastest stream that may be published."""


class ViewerReports:
    """One viewer's reports: totals become what was added since the one before."""

    __slots__ = ("_decoded", "_dropped", "_next")

    def __init__(self) -> None:
        self._decoded = 0
        self._dropped = 0
        self._next = 0.0

    def take(self, report: Mapping[str, Any], now: float, row: WorkerRow) -> None:
        """Count what is credible of a report.

        Args:
            report: the message.
            now: monotonic seconds.
            row: the worker's statistics.
        """
        if now < self._next:
            return
        self._next = now + _INTERVAL
        self._decoded = _add(row, Column.VIEWER_DECODED, self._decoded, report.get("decoded"))
        self._dropped = _add(row, Column.VIEWER_DROPPED, self._dropped, report.get("dropped"))
        latency = report.get("latency_ms")
        # Not a number compares false.
        if isinstance(latency, bool) or not isinstance(latency, int | float):
            return
        if 0 <= latency <= _LATENCY_LIMIT_MS:
            PAINT_LATENCY.add(row, latency / 1000)


def _add(row: WorkerRow, column: Column, before: int, total: object) -> int:
    """Count how far a total went on; the total to compare the next one with."""
    if type(total) is not int or not 0 <= total < 2**53:
        return before
    # A player that starts its counts again has a smaller total.
    row.add(column, min(total - before if total >= before else total, _FRAMES_LIMIT))
    return total
