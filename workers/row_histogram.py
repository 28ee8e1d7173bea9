"""A histogram in a worker's row: one column for each bucket, one for the sum."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from workers.table import Column, WorkerRow

__all__ = ["PAINT_LATENCY", "SEND_DELAY", "RowHistogram"]


class RowHistogram:
    """Where its numbers are. Holds none itself.

    Attributes:
        bounds: upper bounds of the buckets in seconds, inclusive; the last bucket has none.
        columns: counts, one for each bucket.
        total: sum of all values in microseconds.
    """

    __slots__ = ("bounds", "columns", "total")

    def __init__(self, bounds: tuple[float, ...], total: Column, first: Column) -> None:
        self.bounds = bounds
        self.total = total
        self.columns = tuple(Column(first + index) for index in range(len(bounds) + 1))

    def add(self, row: WorkerRow, seconds: float, count: int = 1) -> None:
        """Count a value that ``count`` peers had; only the row's writer may."""
        words = row.words
        words[self.total] += int(seconds * 1e6) * count
        words[self.columns[bisect_left(self.bounds, seconds)]] += count


PAINT_LATENCY: Final = RowHistogram(
    (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0), Column.LATENCY_US, Column.LATENCY_0
)
"""From capture to paint, as viewers report it. Finest where live video is won or lost."""
SEND_DELAY: Final = RowHistogram(
    (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0),
    Column.SEND_DELAY_US,
    Column.SEND_DELAY_0,
)
"""From a frame's arrival in a worker, or the viewer's if that came later, until the frame was
handed to the viewer's socket."""
