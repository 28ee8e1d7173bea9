"""When a worker in the middle of a fan-out lets others run.

Megabytes that nobody has read yet push each other out of the processor's caches, and the memory
for the next ones comes from outside of them. Where readers are on this host (a proxy, a load
test, browsers) and wait for a processor, a worker that lets them go first between two batches
pays less for the rest, and so do they. But whoever computes gets the processor, too, and keeps
it for milliseconds: an encoder beside the relay would have most of each frame's time.

The worker therefore spends on others what it has earned by sending. Readers leave most of that
over; a worker that has nothing left goes on without turns, and tries again after a while.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Turns"]

_SAVINGS_SECONDS: Final = 0.01
"""What others can cost at most, but for the last turn, until the worker gives up."""
_ABSTAIN_SECONDS: Final = 10.0


def _yield() -> None:
    if sys.platform != "linux":
        raise NotImplementedError
    os.sched_yield()


class Turns:
    """See the module."""

    __slots__ = ("_abstains_until", "_clock", "_let_run", "_savings", "_since")

    def __init__(
        self, let_run: Callable[[], None] = _yield, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with savings.

        Args:
            let_run: lets others run, and returns when it is this thread's turn again.
            clock: seconds.
        """
        self._let_run = let_run
        self._clock = clock
        self._savings = _SAVINGS_SECONDS
        self._since = self._abstains_until = clock()

    def begin(self) -> None:
        """What follows is work, until `give`."""
        self._since = self._clock()

    def give(self) -> None:
        """A batch is sent, and another one follows: let others run if they may."""
        now = self._clock()
        if now < self._abstains_until:
            return
        self._let_run()
        after = self._clock()
        earned = self._savings + now - self._since
        self._savings = min(_SAVINGS_SECONDS, earned) - (after - now)
        self._since = after
        if self._savings < 0:
            self._savings = _SAVINGS_SECONDS
            self._abstains_until = after + _ABSTAIN_SECONDS
