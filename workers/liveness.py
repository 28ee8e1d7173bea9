"""Signs of life of one open connection, and what is due when they are missing. Pure.

* Any received byte counts, and so does any progress of what is being sent.
* A peer that takes nothing of what is in flight for the progress timeout is stalled.
* One that is idle both ways is asked with a ping; if nothing at all comes in answer, it is
  silent. Nobody is asked behind a frame in flight: the ping would only queue up there.

The clock is a parameter, in monotonic seconds. There is no timer: the owner comes again at
the time it is told, see `workers.deadlines`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from workers.settings import ViewerSettings

__all__ = ["Due", "Liveness", "Watched"]


class Due(Enum):
    """What the owner has to do."""

    NOTHING = auto()
    PING = auto()
    """Send one."""
    STALLED = auto()
    """Reset the connection: its peer takes nothing."""
    SILENT = auto()
    """Reset the connection: its peer does not answer."""


class Watched(Protocol):
    """What is looked at: a channel, see `workers.engines.interface`."""

    @property
    def idle(self) -> bool: ...
    def progress(self) -> int: ...


class Liveness:
    """See the module.

    Attributes:
        heard: when the last byte came; for the owner to set.
    """

    __slots__ = ("_pinged_at", "_progress", "_progress_at", "_was_idle", "heard")

    def __init__(self, now: float) -> None:
        self.heard = self._progress_at = now
        self._pinged_at = 0.0
        self._progress = 0
        self._was_idle = True

    def first_look(self, settings: ViewerSettings) -> float:
        """When to call `look` for the first time."""
        return self.heard + min(settings.ping_interval, settings.progress_timeout / 2)

    def look(self, channel: Watched, now: float, settings: ViewerSettings) -> tuple[Due, float]:
        """What is due, and when to look again."""
        idle, was_idle, self._was_idle = channel.idle, self._was_idle, channel.idle
        progress = 0 if idle else channel.progress()
        if idle or was_idle or progress != self._progress:
            self._progress_at = now
        self._progress = progress
        # Who becomes busy meanwhile says nothing: look again in time for its deadline.
        soon = now + settings.progress_timeout / 2
        if now - self._progress_at >= settings.progress_timeout:
            return Due.STALLED, soon
        if not idle:
            return Due.NOTHING, soon
        due, again = self._look_at_silence(now, settings)
        return due, min(again, soon)

    def _look_at_silence(self, now: float, settings: ViewerSettings) -> tuple[Due, float]:
        if self._pinged_at > self.heard:
            deadline = self._pinged_at + settings.ping_timeout
            if now >= deadline:
                return Due.SILENT, now + settings.ping_timeout
            return Due.NOTHING, deadline
        if now - self.heard >= settings.ping_interval:
            self._pinged_at = now
            return Due.PING, now + settings.ping_timeout
        return Due.NOTHING, self.heard + settings.ping_interval
