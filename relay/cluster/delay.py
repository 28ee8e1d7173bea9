"""How far behind the sender a receiver is, without common clocks; and whether much waits.

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
LATE_BYTES: Final = 64 * 1024
"""Less that comes late, one after the other, is no backlog: nothing is gained by dropping it."""


class Delay:
    """Delay of one stream of messages."""

    __slots__ = ("_at", "_fresh", "_late_bytes", "_least")

    def __init__(self) -> None:
        self._least: float | None = None
        self._at = 0.0
        self._fresh = False
        self._late_bytes = 0

    def reset(self) -> None:
        """Begin anew."""
        self._least = None
        self._late_bytes = 0

    def expect_fresh(self) -> None:
        """Nothing waits on the way now: if the next message seems late, a clock was set."""
        self._fresh = True
        self._late_bytes = 0

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

    def is_backlog(self, size: int, lag: float, limit: float) -> bool:
        """Whether so much came late that more like it waits.

        Args:
            size: bytes of a message.
            lag: seconds that it came later than it could have.
            limit: seconds from which on that is late.
        """
        self._late_bytes = self._late_bytes + size if lag > limit else 0
        return self._late_bytes > LATE_BYTES
