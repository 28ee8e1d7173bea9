"""How far behind the sender a receiver is, without common clocks.

Pure. The difference between two hosts' clocks is unknown but steady, so the least difference
seen between sending and arrival stands for no delay at all, and what is above it is delay.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Delay"]

DRIFT: Final = 0.001
"""Seconds by which the least difference is let grow in a second: more than clocks drift."""
CLOCK_STEP: Final = 0.5
"""Seconds that a message which waited nowhere cannot have been on its way."""


class Delay:
    """Delay of one stream of messages."""

    __slots__ = ("_at", "_fresh", "_least")

    def __init__(self) -> None:
        self._least: float | None = None
        self._at = 0.0
        self._fresh = False

    def reset(self) -> None:
        """Begin anew."""
        self._least = None

    def expect_fresh(self) -> None:
        """Nothing waits on the way now: if the next message seems late, a clock was set."""
        self._fresh = True

    def lag(self, sent_us: int, received_us: int, now: float) -> float:
        """Seconds that a message came later than it could have.

        Args:
            sent_us: by the sender's clock.
            received_us: by the receiver's clock.
            now: monotonic seconds.
        """
        difference = (received_us - sent_us) / 1e6
        fresh, self._fresh = self._fresh, False
        if self._least is None or (fresh and difference - self._least > CLOCK_STEP):
            self._least = difference
        else:
            self._least = min(difference, self._least + DRIFT * (now - self._at))
        self._at = now
        return difference - self._least
