"""The real ``relay-publish`` in a process of its own."""

from __future__ import annotations

import subprocess
from typing import Final

from bus.directory import list_streams
from tests.e2e.relay_process import PROJECT, command
from tests.e2e.waiting import wait_until

__all__ = ["PublishCommand", "is_live"]

_STOP_LIMIT: Final = 20.0


def is_live(instance: str, stream: str) -> bool:
    """Whether a stream has a publisher now, as shared memory tells."""
    return any(each.name == stream and each.live for each in list_streams(instance))


class PublishCommand:
    """One run of ``relay-publish``."""

    def __init__(self, source: str, stream: str, instance: str, *options: str) -> None:
        """Start it.

        Args:
            source: what it publishes.
            stream: under which name.
            instance: the relay's; taken unless ``--to`` is among the options.
            *options: further flags.
        """
        self._stream = stream
        self._instance = instance
        where = () if "--to" in options else ("--instance", instance)
        self._process = subprocess.Popen(
            command(
                "relay.publish",
                *(source, "--stream", stream, "--quiet", "--exit-with-parent"),
                *where,
                *options,
            ),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
        )

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process.poll() is None

    def wait_live(self) -> None:
        """Wait until its stream is there."""
        wait_until(
            lambda: not self.running or is_live(self._instance, self._stream),
            f"stream {self._stream} to be live",
        )
        assert self.running, f"the publisher of {self._stream} ended"

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._process.kill()
        self._process.wait(_STOP_LIMIT)

    def stop(self) -> None:
        """End it in order; by force when it does not."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
