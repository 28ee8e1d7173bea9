"""The built-in test pattern: a publisher in a process of its own, kept running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Final

__all__ = ["DemoProcess"]

BACKOFF: Final = 1.0
BACKOFF_MAX: Final = 30.0
"""Seconds between restarts, doubled from the first to the second of these."""
STABLE: Final = 30.0
"""Seconds after which a publisher counts as working."""
GRACE: Final = 5.0
"""Seconds that it has to stop."""


class DemoProcess:
    """Publishes stream ``demo`` of an instance.

    Attributes:
        restart_at: monotonic seconds of its next start; None while it runs or is stopped.
        kill_at: monotonic seconds after which it is killed; None: no deadline.
    """

    def __init__(self, instance: str, command: list[str] | None = None) -> None:
        """Prepare it; `start` starts it.

        Args:
            instance: where it publishes.
            command: another program than the relay's own publisher.
        """
        self._command = command or [
            *(sys.executable, "-m", "relay.publish", "demo", "--stream", "demo"),
            *("--instance", instance, "--quiet", "--exit-with-parent"),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._alive = -1
        self._started = 0.0
        self._failures = 0
        self._stopping = False
        self.restart_at: float | None = None
        self.kill_at: float | None = None

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._process is not None

    @property
    def sentinel(self) -> int:
        """Readable when the process has ended."""
        return self._alive

    def start(self, now: float) -> None:
        """Start it.

        Args:
            now: monotonic seconds.
        """
        self.restart_at = None
        self._started = now
        reader, writer = os.pipe()
        try:
            # A group of its own: Ctrl-C in a terminal is for the supervisor to handle. Its end
            # of the pipe closes with the process, which makes ours readable.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, pass_fds=(writer,), process_group=0
            )
            self._alive = reader
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)

    def ended(self, now: float) -> str:
        """Collect the ended process and plan its restart.

        Returns:
            What happened, for the log.
        """
        assert self._process is not None
        code = self._process.wait()
        self._process = None
        os.close(self._alive)
        self._alive = -1
        self.kill_at = None
        if self._stopping:
            return "the demo publisher ended"
        self._failures = 0 if now - self._started >= STABLE else self._failures + 1
        delay = min(BACKOFF_MAX, BACKOFF * 2.0 ** min(max(self._failures - 1, 0), 10))
        self.restart_at = now + delay
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        return f"the demo publisher {how}; starting it again in {delay:.0f} s"

    def stop(self, now: float) -> None:
        """Ask it to end and do not start it again."""
        self.restart_at = None
        if self._process is not None and not self._stopping:
            self.kill_at = now + GRACE
            self._process.send_signal(signal.SIGTERM)
        self._stopping = True

    def kill(self) -> None:
        """Kill it now."""
        self.restart_at = self.kill_at = None
        self._stopping = True
        if self._process is not None:
            self._process.kill()
