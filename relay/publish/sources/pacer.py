"""Real-time pacing of recorded frames.

`Pacer.wait` returns when a frame is due. A frame that is a little late goes out at once, so
the average rate holds; after a real stall the clock is re-anchored at that frame, so the
viewer never gets a burst. Clock and sleep are parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["MAX_LATE_S", "Pacer"]

MAX_LATE_S = 0.25
"""Catching up this much looks smooth; beyond it the lost time is given up."""


class Pacer:
    """Holds frames back until their time.

    Args:
        sleep: waits for some seconds; returns True when the wait was cut short by a stop
            (``threading.Event.wait`` fits).
        clock: monotonic seconds.
    """

    def __init__(
        self, sleep: Callable[[float], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sleep = sleep
        self._clock = clock
        self._anchor: float | None = None  # clock time of media time 0
        self.stalls = 0
        """How often the clock was re-anchored."""

    def wait(self, due_us: int) -> bool:
        """Block until media time ``due_us``.

        Returns:
            False when a stop was asked for, and the frame should not be sent.
        """
        now = self._clock()
        due = due_us / 1_000_000
        if self._anchor is None:
            self._anchor = now - due
        delay = self._anchor + due - now
        if delay < -MAX_LATE_S:
            self.stalls += 1
            self._anchor = now - due
            delay = 0.0
        return not self._sleep(max(delay, 0.0))
