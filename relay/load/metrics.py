"""The values that thresholds are about, from what viewers and browsers saw. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from relay.load.counts import Counts, Outage
from relay.load.mix import Kind
from relay.load.samples import in_ms

__all__ = ["metrics", "percentile", "total"]


def total(kinds: Mapping[str, Counts]) -> Counts:
    """Sums over all viewers."""
    found = Counts()
    for counts in kinds.values():
        found.add(counts)
    return found


def metrics(
    kinds: Mapping[str, Counts], outages: Iterable[Outage], paint_ms: Sequence[float]
) -> dict[str, float | None]:
    """The value of each metric of `thresholds.METRICS`.

    Latency, freezes and skips are those of viewers that take all they are sent: of others they
    say nothing about the relay.

    Args:
        kinds: sums by kind of viewer.
        outages: of those viewers.
        paint_ms: capture to paint, many times from each browser.
    """
    everybody, watching = total(kinds), kinds.get(Kind.WATCHING, Counts())
    all_frames = watching.frames + watching.skipped
    longest = max((each.seconds for each in outages), default=0.0)
    return {
        "p50": in_ms(watching.latency_us, 50),
        "p95": in_ms(watching.latency_us, 95),
        "p99": in_ms(watching.latency_us, 99),
        "join": in_ms(watching.join_us, 95),
        "paint": percentile(paint_ms, 95),
        "connected": everybody.connected,
        "frames": everybody.frames,
        "checked": everybody.checked,
        "freeze": watching.freeze,
        "outage": longest * 1000,
        "refused": everybody.refused,
        "lost": everybody.lost,
        "invalid": everybody.invalid,
        "skipped": 100 * watching.skipped / all_frames if all_frames else 0.0,
    }


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The value below or at which so many percent lie; None when there are no values."""
    if not values:
        return None
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]
