"""What kinds of viewers there are, and which viewer is of which kind. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Kind", "Mix"]

_GOLDEN = 0.618033988749895


class Kind(StrEnum):
    """How a viewer behaves."""

    WATCHING = "watching"
    """Takes all it is sent, as the player does."""
    SLOW = "slow"
    """Takes 1 Mbit/s, through a small window: skips are due to it."""
    HIDDEN = "hidden"
    """A tab that is hidden for five seconds, seen for five, and so on."""
    HALF_OPEN = "half-open"
    """Says half of its request, or stops reading after it, and is silent ever after."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of viewers, 0 to 1; the others watch."""

    slow: float = 0.0
    hidden: float = 0.0
    half_open: float = 0.0

    def share(self, kind: Kind) -> float:
        """How many viewers are of a kind, 0 to 1."""
        shares = {Kind.SLOW: self.slow, Kind.HIDDEN: self.hidden, Kind.HALF_OPEN: self.half_open}
        return shares.get(kind, 1.0 - sum(shares.values()))

    def kind_of(self, number: int) -> Kind:
        """The kind of a viewer; each range of numbers holds about the shares."""
        at = number * _GOLDEN % 1.0
        for kind in (Kind.SLOW, Kind.HIDDEN, Kind.HALF_OPEN):
            if at < self.share(kind):
                return kind
            at -= self.share(kind)
        return Kind.WATCHING
