"""The run over time: what changed between two looks, and events worth a mark. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.load.counts import Counts
from relay.load.histogram import Histogram

__all__ = ["Event", "Generator", "RelayState", "Sample", "Timeline", "in_ms"]


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
class Generator:
    """How the load generator fared over an interval.

    Attributes:
        cpu: processors that its viewers' processes used.
        busiest: processors that the busiest of them used.
        lag: seconds by which one of them was late, at worst.
        host_cpu: share of all of this host's processors that was used, by anybody.
    """

    cpu: float = 0.0
    busiest: float = 0.0
    lag: float = 0.0
    host_cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One interval.

    Attributes:
        at: its end, seconds since the start.
        connected, frozen: viewers at its end.
        fps: frames in a second, all viewers together.
        gbps: gigabits in a second.
        p50, p95, p99: latency in milliseconds; None: nothing arrived.
        generator: see there.
        workers: rows of the relay's ``/api/workers``; empty when it did not answer.
        browsers: pictures a second of each browser's player; None: it said nothing.
    """

    at: float
    connected: int
    frozen: int
    fps: float
    gbps: float
    p50: float | None
    p95: float | None
    p99: float | None
    generator: Generator
    workers: Sequence[dict[str, Any]]
    browsers: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class RelayState:
    """What the relay said last.

    Attributes:
        answers: whether it said anything; it need not be a relay of ours.
        engine: of its workers.
        workers, streams: rows of its API.
    """

    answers: bool = False
    engine: str = ""
    workers: list[dict[str, Any]] = field(default_factory=list)
    streams: list[dict[str, Any]] = field(default_factory=list)


class Timeline:
    """Turns sums into samples, and what the relay says into events.

    Attributes:
        samples: oldest first.
        events: oldest first.
    """

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.events: list[Event] = []
        self._before = Counts()
        self._latency_before = Histogram()
        self._counted = 0.0
        self._workers: dict[int, tuple[int, int]] = {}
        self._streams: dict[str, tuple[bool, int, int]] = {}
        self._answered = False

    def look(
        self,
        at: float,
        counted: float,
        now: Counts,
        latency: Histogram,
        relay: RelayState,
        generator: Generator,
        browsers: Sequence[float | None] = (),
    ) -> Sample:
        """Take a look.

        Args:
            at: seconds since the start.
            counted: the same, when the sums were taken.
            now: sums over all viewers since the start; not changed afterwards.
            latency: of the viewers that take all they are sent, in µs; not changed afterwards.
            relay: what it says.
            generator: how it fared since the last look.
            browsers: pictures a second of each.
        """
        before, passed = self._before, max(counted - self._counted, 1e-3)
        arrived = latency.since(self._latency_before)
        sample = Sample(
            at,
            now.connected,
            now.frozen,
            (now.frames - before.frames) / passed,
            (now.bytes - before.bytes) * 8 / passed / 1e9,
            in_ms(arrived, 50),
            in_ms(arrived, 95),
            in_ms(arrived, 99),
            generator,
            relay.workers,
            browsers,
        )
        self._notice(at, relay)
        self.samples.append(sample)
        self._before, self._latency_before, self._counted = now, latency, counted
        return sample

    def note(self, at: float, what: str) -> None:
        """Mark an event."""
        self.events.append(Event(at, what))

    def _notice(self, at: float, relay: RelayState) -> None:
        if relay.answers != self._answered:
            if at > 0 and self._workers:
                self.note(at, "the relay answers again" if relay.answers else "no answer")
            self._answered = relay.answers
        # While a worker is replaced there are two in its place, the newer one last.
        for row in {row["slot"]: row for row in relay.workers}.values():
            self._notice_worker(at, row)
        for row in relay.streams:
            self._notice_stream(at, row)

    def _notice_worker(self, at: float, row: dict[str, Any]) -> None:
        slot, pid, restarts = row["slot"], row["pid"], row["restarts"]
        old = self._workers.get(slot)
        if old is not None and old[0] != pid:
            what = "restarted" if restarts > old[1] else "replaced"
            self.note(at, f"worker {slot} {what}")
        self._workers[slot] = pid, restarts

    def _notice_stream(self, at: float, row: dict[str, Any]) -> None:
        name, live, epoch, frames = row["name"], row["live"], row["epoch"], row["frames"]
        old = self._streams.get(name)
        if old is not None:
            # Another node's stream begins anew when its first viewer comes: that is no event.
            if epoch != old[1] and old[2]:
                self.note(at, f"{name}: publisher reconnected")
            elif old[0] and not live:
                self.note(at, f"{name}: publisher gone")
        self._streams[name] = live, epoch, frames


def in_ms(histogram: Histogram, percent: float) -> float | None:
    """A percentile of a histogram of microseconds, in milliseconds."""
    value = histogram.percentile(percent)
    return None if value is None else value / 1000
