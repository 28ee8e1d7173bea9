"""When a worker that died is started again: a decision without clock or process.

Rules, for one worker's place (a policy each):

====================================  ==================================================
how it died                           what follows
====================================  ==================================================
it said that it cannot start          stop at once
before it was ready, by itself        wait: backoff, doubled each time; at the limit stop
(exit, crash, hang)
before it was ready, killed by        start again; says nothing about the worker
somebody else
after it was ready, in any way        start again; failed starts are forgotten
====================================  ==================================================

"Start again" is at once, up to a burst of restarts; a worker that goes on dying is then
started at a steady low rate, and earns its burst back by living.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

from relay.settings import SupervisionSettings
from relay.system import SIGKILL

__all__ = ["EXIT_CANNOT_START", "Exit", "Restart", "RestartPolicy", "Stop"]

EXIT_CANNOT_START: Final = 3
"""Exit code of a worker that found a reason which a restart does not mend."""

BURST: Final = 20
"""Restarts at once: a worker killed every second for half a minute is back every time."""
STEADY_INTERVAL: Final = 2.0
"""Seconds between restarts beyond the burst, and that one restart takes to be forgotten."""

_KILLED_BY_OTHERS: Final = (-SIGKILL, -signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a worker ended.

    Attributes:
        code: exit code; minus the signal's number when a signal killed it.
        ready: whether it had been ready.
        hung: whether the supervisor killed it because it gave no sign of life.
    """

    code: int
    ready: bool
    hung: bool = False

    def __str__(self) -> str:
        if self.hung:
            return "hung and was killed"
        if self.code >= 0:
            return f"exited with code {self.code}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = f"signal {-self.code}"
        return f"was killed by {name}"


@dataclass(frozen=True, slots=True)
class Restart:
    """Start it again.

    Attributes:
        delay: seconds to wait before.
    """

    delay: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Give the relay up.

    Attributes:
        exit_code: for the supervisor.
        reason: what happened, without the worker's name in front.
    """

    exit_code: int
    reason: str


class RestartPolicy:
    """The memory of one worker's place."""

    __slots__ = ("_failed_starts", "_paid_until", "_settings")

    def __init__(self, settings: SupervisionSettings) -> None:
        self._settings = settings
        self._failed_starts = 0
        self._paid_until = 0.0

    def configure(self, settings: SupervisionSettings) -> None:
        """Go on with other settings."""
        self._settings = settings

    def ready(self) -> None:
        """The worker became ready: earlier failed starts are forgotten."""
        self._failed_starts = 0

    def next(self, now: float, exit: Exit) -> Restart | Stop:  # noqa: A002
        """What to do about a death.

        Args:
            now: monotonic seconds.
            exit: how it ended.
        """
        if exit.ready:
            self._failed_starts = 0
        elif exit.code == EXIT_CANNOT_START:
            return Stop(EXIT_CANNOT_START, "cannot start; its last message says why")
        elif exit.hung or exit.code not in _KILLED_BY_OTHERS:
            return self._after_failed_start(exit)
        # A leaky bucket: each restart adds an interval, time takes it away.
        self._paid_until = max(self._paid_until, now) + STEADY_INTERVAL
        return Restart(max(0.0, self._paid_until - now - BURST * STEADY_INTERVAL))

    def _after_failed_start(self, exit: Exit) -> Restart | Stop:  # noqa: A002
        self._failed_starts += 1
        settings = self._settings
        if self._failed_starts >= settings.crash_limit:
            times = "once" if self._failed_starts == 1 else f"{self._failed_starts} times in a row"
            return Stop(1, f"did not start {times}: the last time it {exit}")
        # The exponent is bounded: 2.0 ** 1024 overflows.
        delay = settings.restart_backoff * 2.0 ** min(self._failed_starts - 1, 60)
        return Restart(min(delay, settings.restart_backoff_max))
