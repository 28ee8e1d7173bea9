"""What viewers saw, as numbers that travel from a viewers' process to the command."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from relay.load.histogram import Histogram

__all__ = ["Counts"]


@dataclass
class Counts:
    """Sums over the viewers of one process, or of all.

    Attributes:
        connected: viewers that are connected now.
        frames, bytes: received.
        skipped: frames that viewers were not sent, by the gaps in the sequence.
        freeze: times that a viewer got no picture for longer than a second.
        frozen: viewers that have none now.
        refused: connections that were not made.
        lost: connections that broke or were closed by the relay.
        invalid: frames that break a rule.
        reasons: of everything that went wrong, in words.
        latency_us: capture to arrival.
        lag: seconds by which the process itself was late, at worst, since the last look.
        cpu: seconds of processor time that the process has used.
    """

    connected: int = 0
    frames: int = 0
    bytes: int = 0
    skipped: int = 0
    freeze: int = 0
    frozen: int = 0
    refused: int = 0
    lost: int = 0
    invalid: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    latency_us: Histogram = field(default_factory=Histogram)
    lag: float = 0.0
    cpu: float = 0.0

    def add(self, other: Counts) -> None:
        """Add another process's counts."""
        for name in ("connected", "frames", "bytes", "skipped", "freeze", "frozen"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.refused += other.refused
        self.lost += other.lost
        self.invalid += other.invalid
        self.reasons.update(other.reasons)
        self.latency_us.merge(other.latency_us.counts)
        self.lag = max(self.lag, other.lag)
        self.cpu += other.cpu
