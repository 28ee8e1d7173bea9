"""What a run found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.load.counts import Counts, Outage
from relay.load.diagnosis import Diagnosis
from relay.load.samples import RelayState, Timeline

__all__ = ["Level", "Limit", "Result"]


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a search for the limit.

    Attributes:
        viewers: how many there were to be.
        broken: thresholds that broke, in words; empty: it held.
        values: metrics of the time in which it was measured.
        fps, gbps: of all viewers.
        relay_cpu, generator_cpu: processors used.
        diagnosis: what ran out, if it did not hold.
    """

    viewers: int
    broken: Sequence[str]
    values: Mapping[str, float | None]
    fps: float
    gbps: float
    relay_cpu: float
    generator_cpu: float
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True)
class Limit:
    """Where the limit is.

    Attributes:
        best: viewers of the highest level that held.
        levels: in the order in which they were tried.
        complete: whether the search came to its end.
    """

    best: int
    levels: Sequence[Level]
    complete: bool

    @property
    def broken(self) -> list[Level]:
        """Levels that did not hold, lowest first."""
        return sorted((each for each in self.levels if each.broken), key=lambda each: each.viewers)

    @property
    def culprit(self) -> Level | None:
        """The lowest level at which something ran out: just above the limit it may not show."""
        return next((each for each in self.broken if each.diagnosis.resource), None)


@dataclass
class Result:
    """What a run found.

    Attributes:
        started_us: Unix microseconds.
        kinds: sums by kind of viewer, at the end.
        outages: of viewers that take all they are sent.
        timeline: the run over time.
        relay: what it said first of itself.
        died: processes of the generator that ended by themselves.
        interrupted: whether the user ended it.
        browsers: what each browser's player said last; None: nothing.
        paint_ms: capture to paint, once a second from each of them.
        freezes: times that a browser showed no new picture for a second.
        limit: of a search for it.
    """

    started_us: int = 0
    kinds: dict[str, Counts] = field(default_factory=dict)
    outages: list[Outage] = field(default_factory=list)
    timeline: Timeline = field(default_factory=Timeline)
    relay: RelayState = field(default_factory=RelayState)
    died: int = 0
    interrupted: bool = False
    browsers: list[dict[str, Any] | None] = field(default_factory=list)
    paint_ms: list[float] = field(default_factory=list)
    freezes: list[int] = field(default_factory=list)
    limit: Limit | None = None

    def note_browsers(self, said: list[dict[str, Any] | None]) -> None:
        """Take what the players say now."""
        self.freezes = self.freezes or [0] * len(said)
        for index, (now, before) in enumerate(zip(said, self.browsers, strict=False)):
            if now and before and now["state"] == "live" and now["decoded"] == before["decoded"]:
                self.freezes[index] += 1
        self.browsers = said
        self.paint_ms += [
            each["latencyMs"] for each in said if each and each["latencyMs"] is not None
        ]
