"""Test publishers: child processes that publish frames which prove themselves.

The parent's side is `PublisherProcess`. The child paces frames in real time, makes a key
frame every so many, and says on its standard output what happens to it. It ends when its
standard input does, so it never outlives the tests.

As a program::

    python -m tests.e2e.publisher_main shm --stream cam0 --instance NAME
    python -m tests.e2e.publisher_main ws --stream cam0 --url ws://127.0.0.1:8765
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from tests.e2e.relay_process import PROJECT, command
from tests.e2e.waiting import wait_until

__all__ = ["PublisherProcess", "RunModule", "run_module_here"]

_STOP_LIMIT: Final = 20.0

RunModule = Callable[..., subprocess.Popen[str]]


def run_module_here(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a module of Python in a process that speaks with this one."""
    return subprocess.Popen(
        command(module, *arguments),
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


class PublisherProcess:
    """One publisher.

    Attributes:
        stream: what it publishes.
        events: what it said, oldest first; each has an ``event``.
    """

    def __init__(
        self,
        kind: str,
        stream: str,
        *,
        instance: str = "",
        url: str = "",
        fps: float = 25.0,
        size: int = 4000,
        key_every: int = 25,
        serves_keys: bool = False,
        takeover: bool = False,
        frames: int = 0,
        run_module: RunModule | None = None,
    ) -> None:
        """Start it.

        Args:
            kind: ``shm`` or ``ws``.
            stream: stream name.
            instance: of the relay on this host, for ``shm``.
            url: ``ws://host:port``, for ``ws``.
            fps: frames in a second.
            size: bytes of a payload.
            key_every: frames between key frames.
            serves_keys: whether it makes a key frame when a viewer asks for one.
            takeover: whether it takes the stream from a publisher that lives.
            frames: how many it publishes; 0: until it is stopped.
            run_module: starts a module of Python with arguments; by default with this Python.
        """
        self.stream = stream
        self.events: list[dict[str, Any]] = []
        options: dict[str, object] = {
            "--stream": stream,
            "--fps": fps,
            "--size": size,
            "--key-every": key_every,
            "--frames": frames,
            "--instance" if kind == "shm" else "--url": instance if kind == "shm" else url,
        }
        flat = [str(part) for pair in options.items() for part in pair]
        self._process = (run_module or run_module_here)(
            "tests.e2e.publisher_main",
            kind,
            *flat,
            *["--serves-keys"] * serves_keys,
            *["--takeover"] * takeover,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self.events.append(json.loads(line))

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process.poll() is None

    def count(self, event: str) -> int:
        """How often it said ``event``."""
        return sum(each["event"] == event for each in self.events)

    def wait_live(self, times: int = 1) -> dict[str, Any]:
        """Wait until it was allowed to publish for the n-th time; what it said then."""
        wait_until(
            lambda: self.count("live") >= times or not self.running,
            lambda: f"the publisher of {self.stream} to be live; it said {self.events}",
        )
        lives = [each for each in self.events if each["event"] == "live"]
        assert len(lives) >= times, f"the publisher of {self.stream} ended; it said {self.events}"
        return lives[times - 1]

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._process.send_signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """Let it end its stream; its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        code = self._process.wait(_STOP_LIMIT)
        self._listener.join(_STOP_LIMIT)
        assert self._process.stdin is not None
        self._process.stdin.close()
        return code

    def clean_up(self) -> None:
        """Be sure that it is gone."""
        if self.running:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        else:
            self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.clean_up()
