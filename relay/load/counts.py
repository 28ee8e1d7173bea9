"""What viewers saw, as numbers that travel from their process to the command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from relay.load.histogram import Histogram

__all__ = ["NO_ANSWER", "NO_DESCRIPTOR", "NO_PORT", "Counts", "Outage", "SwarmReport"]

NO_DESCRIPTOR: Final = "this host has no descriptor left for it"
NO_PORT: Final = "this host has no port left for it"
NO_ANSWER: Final = "no answer to the handshake in time"
"""Reasons for which a connection was not made."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which one viewer got no picture.

    Attributes:
        viewer: its number.
        began_us: when its last picture came, Unix microseconds.
        seconds: until the next picture, or until the test's end.
        cause: ``lost`` (its connection), ``ended`` (the publisher), ``frozen``.
        worker: place of the worker that served it before; -1: unknown.
        over: whether it ended before the test.
    """

    viewer: int
    began_us: int
    seconds: float
    cause: str
    worker: int
    over: bool


@dataclass
class Counts:
    """Sums over viewers.

    Attributes:
        connected: viewers that are connected now.
        frames, bytes: received.
        skipped: frames that viewers were not sent, by the gaps in the sequence.
        checked: frames whose payload carried a seal, which was checked.
        freeze: times that a viewer got no picture for longer than a second.
        frozen: viewers that have none now.
        refused: connections that were not made.
        lost: connections that broke or were closed by the relay.
        invalid: frames that break a rule.
        left: viewers that left by themselves, by the way that they took.
        reasons: of everything that went wrong, in words.
        latency_us: capture to arrival.
        join_us: from connecting to the first picture.
    """

    connected: int = 0
    frames: int = 0
    bytes: int = 0
    skipped: int = 0
    checked: int = 0
    freeze: int = 0
    frozen: int = 0
    refused: int = 0
    lost: int = 0
    invalid: int = 0
    left: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    latency_us: Histogram = field(default_factory=Histogram)
    join_us: Histogram = field(default_factory=Histogram)

    def add(self, other: Counts) -> None:
        """Add the sums over other viewers."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, Histogram):
                mine.merge(theirs.counts)
            elif isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, each.name, mine + theirs)

    def since(self, before: Counts) -> Counts:
        """What came after ``before``, these sums' state then; ``connected`` and ``frozen`` stay."""
        found: dict[str, Any] = {}
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(before, each.name)
            if isinstance(mine, Histogram):
                found[each.name] = mine.since(theirs)
            elif each.name in ("connected", "frozen"):
                found[each.name] = mine
            else:
                found[each.name] = mine - theirs
        return Counts(**found)

    def trouble(self, kind: str, why: str) -> None:
        """Count something that went wrong: ``refused``, ``lost`` or ``invalid``."""
        setattr(self, kind, getattr(self, kind) + 1)
        self.reasons[f"{kind}: {why}".rstrip()] += 1


@dataclass(frozen=True, slots=True)
class SwarmReport:
    """What a viewers' process says twice a second.

    Attributes:
        at: monotonic seconds, when it was made; processes of a host agree about them.
        kinds: sums by kind of viewer.
        outages: that ended since the last report.
        lag: seconds by which the process was late, at worst, since the last report.
        cpu: seconds of processor time that it has used.
    """

    at: float
    kinds: Mapping[str, Counts]
    outages: list[Outage]
    lag: float
    cpu: float
