"""A program that runs beside the workers, such as the demo publisher, and is kept running.

Unlike workers, without which there is no relay, it may fail for as long as it likes: it is
started again, ever more rarely, and the relay goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from relay.system import Program

__all__ = ["Companion"]

BACKOFF: Final = 0.5
BACKOFF_MAX: Final = 32.0
"""Seconds between restarts, doubled from the first to the second of these."""
STABLE: Final = 10.0
"""Seconds after which it counts as working."""
GRACE: Final = 5.0
"""Seconds that it has to stop."""


class Companion:
    """One program.

    Attributes:
        name: what it is, for the log.
        restart_at: monotonic seconds of its next start; None while it runs or is stopped.
        kill_at: monotonic seconds after which it is killed; None: no deadline.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        """Prepare it; `start` starts it.

        Args:
            name: what it is, for the log.
            command: its command line, which everybody on the host can read.
        """
        self.name = name
        self._command = command
        self._program: Program | None = None
        self._started = 0.0
        self._failures = 0
        self._stopping = False
        self.restart_at: float | None = None
        self.kill_at: float | None = None

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._program is not None

    @property
    def sentinel(self) -> int:
        """Readable when the process has ended."""
        assert self._program is not None
        return self._program.sentinel

    def start(self, now: float) -> None:
        """Start it.

        Args:
            now: monotonic seconds.
        """
        self.restart_at = None
        self._started = now
        self._program = Program(self._command)

    def ended(self, now: float) -> str:
        """Collect the ended process and plan its restart.

        Returns:
            What happened, for the log.
        """
        assert self._program is not None
        code = self._program.collect()
        self._program = None
        self.kill_at = None
        if self._stopping:
            return f"{self.name} ended"
        self._failures = 0 if now - self._started >= STABLE else self._failures + 1
        delay = min(BACKOFF_MAX, BACKOFF * 2.0 ** min(max(self._failures - 1, 0), 10))
        self.restart_at = now + delay
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        return f"{self.name} {how}; starting it again in {delay:.1f} s"

    def stop(self, now: float) -> None:
        """Ask it to end and do not start it again."""
        self.restart_at = None
        if self._program is not None and not self._stopping:
            self.kill_at = now + GRACE
            self._program.stop()
        self._stopping = True

    def kill(self) -> None:
        """Kill it now."""
        self.restart_at = self.kill_at = None
        self._stopping = True
        if self._program is not None:
            self._program.kill()
