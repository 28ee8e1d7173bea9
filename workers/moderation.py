"""The doorbell of a worker, answered at once, and in a rush about once a millisecond.

To be woken costs as much as sending a small frame to two viewers. So a worker of many streams
is woken as a busy network driver is (interrupt moderation; NAPI in Linux): while rings follow
each other closely nobody listens for the bell, and a timer takes what has gathered. The first
silence ends that. A stream by itself is never kept waiting, whatever its rate.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Final

from bus.doorbell import Doorbell

__all__ = ["ModeratedBell"]

_RUSH: Final = 0.0005
"""Seconds between two rings from which on the next ones are gathered."""
_GATHER: Final = 0.001
"""Seconds in which they are: the least that loops can wait, and little to a viewer."""
_TIMERS_ARE_FINE: Final = sys.platform != "win32"
"""There they go by a clock that ticks every 16 ms."""


class ModeratedBell:
    """See the module."""

    __slots__ = ("_bell", "_last", "_loop", "_rung", "_timer")

    def __init__(
        self, bell: Doorbell, loop: asyncio.AbstractEventLoop, rung: Callable[[set[int]], None]
    ) -> None:
        """Begin to listen.

        Args:
            bell: whose rings are heard.
            loop: runs this.
            rung: told the tokens, possibly none.
        """
        self._bell = bell
        self._loop = loop
        self._rung = rung
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        bell.attach(loop, self._heard)

    def _heard(self) -> None:
        now = time.monotonic()
        self._rung(self._bell.drain())
        if now - self._last < _RUSH and _TIMERS_ARE_FINE:
            self._bell.detach()
            self._timer = self._loop.call_later(_GATHER, self._look)
        self._last = now

    def _look(self) -> None:
        tokens = self._bell.drain()
        if tokens:
            self._timer = self._loop.call_later(_GATHER, self._look)
            self._rung(tokens)
        else:
            self._timer = None
            self._bell.attach(self._loop, self._heard)

    def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._bell.detach()
