"""A finished run as plain values and as lines for a terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from relay.load.run import Result
from relay.load.samples import in_ms
from relay.load.thresholds import METRICS, Threshold

__all__ = ["browser_line", "generator_limited", "lines", "metrics", "report_json"]

_BUSY = 0.9
_LATE = 0.25


def metrics(result: Result) -> dict[str, float | None]:
    """The value of each metric of `thresholds`."""
    counts = result.counts
    all_frames = counts.frames + counts.skipped
    return {
        "p50": in_ms(counts.latency_us, 50),
        "p95": in_ms(counts.latency_us, 95),
        "p99": in_ms(counts.latency_us, 99),
        "paint": _paint(result.paint_ms),
        "connected": counts.connected,
        "frames": counts.frames,
        "freeze": counts.freeze,
        "refused": counts.refused,
        "lost": counts.lost,
        "invalid": counts.invalid,
        "skipped": 100 * counts.skipped / all_frames if all_frames else 0.0,
    }


def _paint(values: Sequence[float]) -> float | None:
    return sorted(values)[math.ceil(len(values) * 0.95) - 1] if values else None


def generator_limited(result: Result, processes: int) -> str:
    """Why the numbers say less of the relay than of the generator; empty when they do not."""
    if result.died:
        return f"{result.died} of its processes died"
    busy = sum(s.generator_cpu > _BUSY * processes for s in result.timeline.samples)
    if busy * 2 > len(result.timeline.samples):
        return "its processes used all of their processors; give it more with --processes"
    if max((s.lag for s in result.timeline.samples), default=0.0) > _LATE:
        return "its processes were late by more than 250 ms at times; this host is too busy"
    return ""


def report_json(
    result: Result, url: str, processes: int, broken: Sequence[Threshold]
) -> dict[str, Any]:
    """Everything that was found, for `json.dumps`."""
    return {
        "url": url,
        "viewers": result.asked,
        "processes": processes,
        "interrupted": result.interrupted,
        "passed": not broken,
        "broken": [str(each) for each in broken],
        "metrics": metrics(result),
        "units": {name: unit for name, (unit, _) in METRICS.items()},
        "generator_limited": generator_limited(result, processes),
        "reasons": dict(result.counts.reasons.most_common()),
        "browsers": result.browsers,
        "events": [asdict(each) for each in result.timeline.events],
        "latency_ms": [
            [round(value / 1000, 3), count] for value, count in result.counts.latency_us.bars()
        ],
        "samples": [asdict(each) for each in result.timeline.samples],
    }


def browser_line(stats: dict[str, Any] | None) -> str:
    """What one browser's player said last."""
    if stats is None:
        return "said nothing"
    shown = {name: stats[name] for name in ("decoded", "dropped", "skips", "reconnects")}
    words = ", ".join(f"{value} {name}" for name, value in shown.items())
    first = stats["firstFrameMs"]
    start = "no picture" if first is None else f"first picture after {first:.0f} ms"
    return f"{stats['state']}, {stats['fps']:.1f} fps, {words}, {start}"


def lines(report: dict[str, Any]) -> list[str]:
    """The report of `report_json` for a person."""
    found = []
    for name, value in report["metrics"].items():
        unit, meaning = METRICS[name]
        number = "-" if value is None else f"{value:,.1f}" if unit else f"{value:,}"
        found.append(f"  {name:10} {number:>14} {unit:2}  {meaning}")
    found += [f"  {count:>6} x {reason}" for reason, count in report["reasons"].items()]
    found += [f"  at {event['at']:.0f} s: {event['what']}" for event in report["events"]]
    if report["generator_limited"]:
        found.append(f"  the load generator was the limit: {report['generator_limited']}")
    found += [f"  browser {n}: {browser_line(each)}" for n, each in enumerate(report["browsers"])]
    verdict = "PASSED" if report["passed"] else "FAILED: " + ", ".join(report["broken"])
    return [f"{report['url']}, {report['viewers']} viewers", *found, verdict]
