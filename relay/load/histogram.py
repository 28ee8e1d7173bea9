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


class Histogram:
    """Counts of values, by bucket.

    Attributes:
        counts: how many values each bucket holds; fit for sending to another process.
        count: how many values there are.
    """

    __slots__ = ("count", "counts")

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.count = 0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[round(math.log(value) / _GROWTH) if value > 1.0 else 0] += 1
        self.count += 1

    def merge(self, counts: Mapping[int, int]) -> None:
        """Add the buckets of another histogram."""
        self.counts.update(counts)
        self.count += sum(counts.values())

    def percentile(self, percent: float) -> float | None:
        """The value below which so many percent lie; None when there are no values."""
        if not self.count:
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
