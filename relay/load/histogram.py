"""Latencies in logarithmic buckets: constant memory, mergeable, a bounded relative error.

Invariant: a percentile is wrong by at most half a bucket, 1 % of its value. Negative values
(two clocks that disagree) count as 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

__all__ = ["Histogram"]

_GROWTH: Final = math.log(1.02)
_BUCKETS: Final = 1 / _GROWTH


class Histogram:
    """Counts of values, by bucket.

    Attributes:
        counts: how many values each bucket holds; fit for sending to another process.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    @property
    def count(self) -> int:
        """How many values there are."""
        return self.counts.total()

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[int(math.log(value) * _BUCKETS + 0.5) if value > 1.0 else 0] += 1

    def merge(self, counts: Mapping[int, int]) -> None:
        """Add the buckets of another histogram."""
        self.counts.update(counts)

    def since(self, before: Histogram) -> Histogram:
        """What was counted after ``before``, which was this one's state then."""
        later = Histogram()
        later.merge(self.counts - before.counts)
        return later

    def percentile(self, percent: float) -> float | None:
        """The value below which so many percent lie; None when there are no values."""
        if not self.counts:
            return None
        wanted = max(1, math.ceil(self.count * percent / 100))
        for bucket in sorted(self.counts):
            wanted -= self.counts[bucket]
            if wanted <= 0:
                return middle(bucket)
        raise AssertionError("the buckets hold less than was counted")

    def bars(self) -> list[tuple[float, int]]:
        """Middle and count of each bucket, lowest first."""
        return [(middle(bucket), self.counts[bucket]) for bucket in sorted(self.counts)]


def middle(bucket: int) -> float:
    """The value that a bucket stands for."""
    return math.exp(bucket * _GROWTH)
