"""What to do when the connection to a relay failed. Pure: time and chance are parameters.

========================  =====================================================
what happened             answer
========================  =====================================================
close 1008 (policy)       stop, with the relay's reason
…  "being published",     retry for up to 30 s: the relay may still hold the
   on a reconnect         half-open connection that this one replaces
close 1012 (restart)      retry at once, with a little jitter
handshake refused (4xx)   stop: token, address or path are wrong
anything else             retry, exponential backoff with full jitter
========================  =====================================================
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from relay.publish.backoff import Backoff

__all__ = ["BUSY_PATIENCE_S", "Failure", "ReconnectPolicy", "Retry", "Stop"]

BUSY_PATIENCE_S = 30.0
_POLICY_VIOLATION, _SERVICE_RESTART = 1008, 1012
_RESTART_JITTER_S = 0.5
_STABLE_S = 10.0  # a connection that lived this long ends a run of failures
_BUSY = "being published"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection could not be made, or ended.

    Attributes:
        reason: in words.
        code: WebSocket close code, None when there was none.
        fatal: whether trying again is useless.
    """

    reason: str
    code: int | None = None
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Connect again after a delay."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Give up; the reason is for the user."""

    reason: str


class ReconnectPolicy:
    """Follows one publisher's connections.

    Args:
        draw: uniform numbers in [0, 1).
    """

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._backoff = Backoff(0.5, 10.0, draw)
        self._ever_accepted = False
        self._accepted_s: float | None = None
        self._busy_since_s: float | None = None

    def accepted(self, now_s: float) -> None:
        """The relay said ok."""
        self._ever_accepted = True
        self._accepted_s = now_s
        self._busy_since_s = None

    def lost(self, failure: Failure, now_s: float) -> Retry | Stop:
        """A connection failed or ended; what now?"""
        accepted_s, self._accepted_s = self._accepted_s, None
        if accepted_s is not None and now_s - accepted_s >= _STABLE_S:
            self._backoff.reset()
        if failure.code == _POLICY_VIOLATION:
            return self._refused(failure.reason, now_s)
        if failure.fatal:
            return Stop(failure.reason)
        if failure.code == _SERVICE_RESTART:
            return Retry(self._draw() * _RESTART_JITTER_S)
        return Retry(self._backoff.next())

    def _refused(self, reason: str, now_s: float) -> Retry | Stop:
        if self._ever_accepted and _BUSY in reason:
            if self._busy_since_s is None:
                self._busy_since_s = now_s
            if now_s - self._busy_since_s < BUSY_PATIENCE_S:
                return Retry(min(self._backoff.next(), 2.0))
        return Stop(reason)
