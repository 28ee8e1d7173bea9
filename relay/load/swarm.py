"""One process full of viewers. It reports its counts twice a second until told to stop.

A viewer that loses its connection comes back after a jittered moment, as the player does.
"""

from __future__ import annotations

import asyncio
import random
import signal
import ssl
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from relay.load.counts import Counts
from relay.load.pipe import Pipe
from relay.load.viewer import Viewer

__all__ = ["REPORT", "SwarmSettings", "swarm_main"]

REPORT: Final = 0.5
"""Seconds between reports."""
_RETURN: Final = 0.5
_GOODBYE: Final = 2.0


@dataclass(frozen=True, slots=True)
class SwarmSettings:
    """What one process does.

    Attributes:
        host, port, path: of the relay's view endpoint.
        secure: whether TLS is spoken there.
        token: sent in the handshake; empty: none.
        viewers: how many.
        ramp: seconds over which they arrive.
    """

    host: str
    port: int
    path: str
    secure: bool
    token: str
    viewers: int
    ramp: float


def swarm_main(settings: SwarmSettings, pipe: Pipe) -> None:
    """Run in a process of its own; anything that comes by ``pipe``, or its end, stops it."""
    # Ctrl-C is for the command, which stops this process and prints its report.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _run(_Swarm(settings, pipe).run())


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        # There is none on Windows.
        asyncio.run(main)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


class _Swarm:
    def __init__(self, settings: SwarmSettings, pipe: Pipe) -> None:
        self._settings = settings
        self._pipe = pipe
        self._counts = Counts()
        self._viewers: set[Viewer] = set()
        self._arrivals: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._tls = ssl.create_default_context() if settings.secure else None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        pause = self._settings.ramp / self._settings.viewers
        for number in range(self._settings.viewers):
            self._arrive(number * pause)
        next_tick = loop.time()
        while not self._pipe.poll():
            before = loop.time()
            await asyncio.sleep(REPORT)
            self._counts.lag = max(0.0, loop.time() - before - REPORT)
            self._counts.cpu = time.process_time()
            if loop.time() >= next_tick:
                next_tick = loop.time() + 1.0
                for viewer in list(self._viewers):
                    viewer.tick(time.monotonic())
            try:
                self._pipe.send(self._counts)
            except OSError:
                break
        await self._stop()

    async def _stop(self) -> None:
        self._stopping = True
        for task in self._arrivals:
            task.cancel()
        for viewer in list(self._viewers):
            viewer.leave()
        deadline = time.monotonic() + _GOODBYE
        while self._viewers and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for viewer in list(self._viewers):
            viewer.abort()

    def _arrive(self, delay: float) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(delay))
        self._arrivals.add(task)
        task.add_done_callback(self._arrivals.discard)

    async def _connect(self, delay: float) -> None:
        wanted = self._settings
        await asyncio.sleep(delay)
        headers = (f"Authorization: Bearer {wanted.token}",) if wanted.token else ()
        name = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
        viewer = Viewer(wanted.path, f"{name}:{wanted.port}", headers, self._counts, self._left)
        self._viewers.add(viewer)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: viewer, wanted.host, wanted.port, ssl=self._tls
            )
        except OSError as exc:
            self._viewers.discard(viewer)
            self._counts.refused += 1
            self._counts.reasons[f"refused: {exc.strerror or type(exc).__name__}"] += 1
            self._again()

    def _left(self, viewer: Viewer, worth_it: bool) -> None:
        self._viewers.discard(viewer)
        if worth_it:
            self._again()

    def _again(self) -> None:
        if not self._stopping:
            self._arrive(random.random() * _RETURN)
