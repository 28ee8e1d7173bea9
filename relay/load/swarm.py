"""One process full of viewers. It reports twice a second until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import random
import signal
import socket
import ssl
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from relay.load.counts import Counts, Outage, SwarmReport
from relay.load.departures import HANDSHAKE, WAYS, half_a_handshake, leave_by
from relay.load.known import KnownFrames
from relay.load.mix import Kind, Mix
from relay.load.pipe import Pipe
from relay.load.target import Target
from relay.load.viewer import Endpoint, Viewer
from relay.load.watching import Clocks, Watching

__all__ = ["Resize", "SwarmSettings", "swarm_main"]

_REPORT: Final = 0.5
_STEP: Final = 0.05
_GOODBYE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Resize:
    """What a swarm is told: how many viewers there should be.

    Attributes:
        viewers: of this process.
        over: seconds until they are there.
    """

    viewers: int
    over: float


@dataclass(frozen=True, slots=True)
class SwarmSettings:
    """What one process does.

    Attributes:
        target: where viewers go.
        paths: what they ask for; they spread over these.
        token: sent in the handshake; empty: none.
        mix: what kinds of viewers there are.
        churn: viewers that leave and come anew in a second, of all processes.
        clocks: whose clocks are this host's.
        place: of this process among all ``processes``.
        processes: how many there are.
    """

    target: Target
    paths: tuple[str, ...]
    token: str
    mix: Mix
    churn: float
    clocks: Clocks
    place: int
    processes: int


def swarm_main(settings: SwarmSettings, pipe: Pipe) -> None:
    """Run in a process of its own; ``stop`` by ``pipe``, or its end, stops it."""
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
        self._counts: dict[str, Counts] = {kind: Counts() for kind in Kind}
        self._known = {path: KnownFrames() for path in settings.paths}
        self._viewers: list[Viewer] = []
        self._outages: list[Outage] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._endpoint: Endpoint | None = None
        self._next_churn = 0.0

    async def run(self) -> None:
        """Until stopped."""
        _raise_limit()
        self._endpoint = _endpoint(self._settings)
        next_report = next_tick = time.monotonic()
        self._next_churn = next_tick + self._pause()
        lag = 0.0
        while self._obey():
            before = time.monotonic()
            await asyncio.sleep(_STEP)
            now = time.monotonic()
            lag = max(lag, now - before - _STEP)
            self._churn(now)
            if now >= next_tick:
                next_tick = now + 1.0
                for viewer in self._viewers:
                    viewer.tick()
            if now >= next_report:
                next_report = now + _REPORT
                if not self._report(lag):
                    break
                lag = 0.0
        await self._stop()

    def _report(self, lag: float) -> bool:
        outages, self._outages = self._outages, []
        now, cpu = time.monotonic(), time.process_time()
        report = SwarmReport(now, self._counts, outages, lag, cpu)
        try:
            self._pipe.send(report)
        except OSError:
            return False
        return True

    def _obey(self) -> bool:
        """Do what came by the pipe; whether to go on."""
        try:
            while self._pipe.poll():
                command = self._pipe.recv()
                if not isinstance(command, Resize):
                    return False
                self._resize(command)
        except (EOFError, OSError):
            return False
        return True

    def _resize(self, wanted: Resize) -> None:
        while len(self._viewers) > wanted.viewers:
            self._viewers.pop().leave()
        more = wanted.viewers - len(self._viewers)
        for index in range(more):
            viewer = self._make()
            self._viewers.append(viewer)
            viewer.come(index * wanted.over / more)

    def _make(self) -> Viewer:
        wanted = self._settings
        assert self._endpoint is not None
        number = len(self._viewers) * wanted.processes + wanted.place
        kind = wanted.mix.kind_of(number)
        counts = self._counts[kind]
        path = wanted.paths[number % len(wanted.paths)]
        # Only of those that take all they are sent an outage says something.
        keep = self._outages_of if kind is Kind.WATCHING else _ignore
        watching = Watching(number, counts, keep, wanted.clocks)
        return Viewer(kind, self._endpoint, path, self._known[path], counts, watching)

    def _outages_of(self, outage: Outage) -> None:
        self._outages.append(outage)

    def _pause(self) -> float:
        """Seconds until the next viewer leaves."""
        rate = self._settings.churn / self._settings.processes
        return random.expovariate(rate) if rate else math.inf

    def _churn(self, now: float) -> None:
        while now >= self._next_churn:
            self._next_churn += self._pause()
            watching = [each for each in self._viewers if each.connected]
            if watching:
                self._reload(random.choice(watching))

    def _reload(self, viewer: Viewer) -> None:
        way = leave_by()
        self._counts[viewer.kind].left[way] += 1
        viewer.leave(WAYS[way])
        if way == HANDSHAKE and self._endpoint is not None:
            errand = asyncio.ensure_future(
                half_a_handshake(self._endpoint, self._settings.paths[0])
            )
            self._errands.add(errand)
            errand.add_done_callback(self._errands.discard)
        viewer.come()

    async def _stop(self) -> None:
        for viewer in self._viewers:
            viewer.end()
        self._report(0.0)
        links = [viewer.leave() for viewer in self._viewers]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                while any(link is not None and not link.over for link in links):
                    await asyncio.sleep(_STEP)
        for errand in self._errands:
            errand.cancel()


def _ignore(outage: Outage) -> None:
    """Of a viewer whose outages say nothing of the relay."""


def _endpoint(settings: SwarmSettings) -> Endpoint:
    target = settings.target
    name = f"[{target.host}]" if ":" in target.host else target.host
    headers = (f"Authorization: Bearer {settings.token}",) if settings.token else ()
    addresses = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    tls = ssl.create_default_context() if target.secure else None
    return Endpoint(addresses, f"{name}:{target.port}", target.host, tls, headers)


def _raise_limit() -> None:
    """Take as many descriptors as this user may have."""
    try:
        resource: Any = importlib.import_module("resource")
    except ImportError:
        # There are no such limits on Windows.
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
