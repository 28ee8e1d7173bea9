"""The run over time: what changed between two looks, and events worth a mark. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from relay.load.counts import Counts
from relay.load.histogram import Histogram

__all__ = ["Event", "Sample", "Timeline"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the relay.

    Attributes:
        at: seconds since the start.
        what: in words.
    """

    at: float
    what: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One interval.

    Attributes:
        at: its end, seconds since the start.
        connected, frozen: viewers at its end.
        fps: frames in a second, all viewers together.
        gbps: gigabits in a second.
        p50, p95, p99: latency in milliseconds; None: nothing arrived.
        lag: seconds by which the generator was late, at worst.
        generator_cpu: processors that it used.
        workers: rows of the relay's ``/api/workers``; empty when it did not answer.
    """

    at: float
    connected: int
    frozen: int
    fps: float
    gbps: float
    p50: float | None
    p95: float | None
    p99: float | None
    lag: float
    generator_cpu: float
    workers: Sequence[dict[str, Any]]


class Timeline:
    """Turns sums into samples.

    Attributes:
        samples: oldest first.
        events: oldest first.
    """

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.events: list[Event] = []
        self._before = Counts()
        self._at = 0.0
        self._pids: dict[int, int] = {}

    def look(self, at: float, now: Counts, workers: Iterable[dict[str, Any]]) -> Sample:
        """Take a look.

        Args:
            at: seconds since the start.
            now: sums since the start; not changed afterwards.
            workers: rows of ``/api/workers``.
        """
        before, passed = self._before, max(at - self._at, 1e-3)
        arrived = Histogram()
        arrived.merge(now.latency_us.counts - before.latency_us.counts)
        rows = list(workers)
        sample = Sample(
            at,
            now.connected,
            now.frozen,
            (now.frames - before.frames) / passed,
            (now.bytes - before.bytes) * 8 / passed / 1e9,
            in_ms(arrived, 50),
            in_ms(arrived, 95),
            in_ms(arrived, 99),
            now.lag,
            max(0.0, now.cpu - before.cpu) / passed,
            rows,
        )
        self._notice(at, rows)
        self.samples.append(sample)
        self._before, self._at = now, at
        return sample

    def _notice(self, at: float, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            slot, pid = row["slot"], row["pid"]
            old = self._pids.get(slot)
            if old is not None and old != pid:
                self.events.append(Event(at, f"worker {slot} restarted"))
            self._pids[slot] = pid


def in_ms(histogram: Histogram, percent: float) -> float | None:
    """A percentile of a histogram of microseconds, in milliseconds."""
    value = histogram.percentile(percent)
    return None if value is None else value / 1000
