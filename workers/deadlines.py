"""Deadlines of many connections on one tick, without a timer for each.

A wheel after Varghese and Lauck: time is cut into ticks, each tick has a bucket, a
connection is in one bucket. When its tick comes it is asked when it wants to be asked
again. Activity costs nothing: a connection only notes the time of it.
"""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["TICK", "Deadlines", "Watched"]

TICK: Final = 0.2
"""Seconds. Deadlines are seconds long, so they may be this much late."""


class Watched(Protocol):
    """Something with deadlines."""

    def check(self, now: float) -> float | None:
        """Act on what is overdue; the time of the next check, None for never."""


class Deadlines:
    """See the module. Times are monotonic seconds."""

    __slots__ = ("_buckets", "_done", "_tick_of")

    def __init__(self, now: float) -> None:
        self._buckets: dict[int, set[Watched]] = {}
        self._tick_of: dict[Watched, int] = {}
        self._done = int(now / TICK)

    def __len__(self) -> int:
        return len(self._tick_of)

    def watch(self, watched: Watched, when: float) -> None:
        """Check ``watched`` at ``when`` (moves an earlier request)."""
        self.forget(watched)
        tick = max(self._done + 1, int(when / TICK) + 1)
        self._tick_of[watched] = tick
        self._buckets.setdefault(tick, set()).add(watched)

    def forget(self, watched: Watched) -> None:
        """Never check ``watched`` again."""
        tick = self._tick_of.pop(watched, None)
        if tick is not None:
            bucket = self._buckets[tick]
            bucket.discard(watched)
            if not bucket:
                del self._buckets[tick]

    def run(self, now: float) -> None:
        """Check everything that is due."""
        last = int(now / TICK)
        # After a long stall, e.g. a stopped process, look at what there is, not at every tick.
        due = sorted(tick for tick in self._buckets if tick <= last)
        self._done = last
        for tick in due:
            # One by one: a check may forget or move others that are due.
            while bucket := self._buckets.get(tick):
                watched = bucket.pop()
                del self._tick_of[watched]
                again = watched.check(now)
                if again is not None:
                    self.watch(watched, again)
            self._buckets.pop(tick, None)
