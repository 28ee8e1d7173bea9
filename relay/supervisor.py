"""The supervisor: one loop that waits on everything at once and never polls.

It waits on workers' sentinels and pipes, on companions' and on the signal inbox. A
tick once a second is for what nobody reports: hangs, memory, the watchdog. It holds the
listening socket and never accepts from it. Which worker is started when is the fleet's
affair; see `relay.fleet`.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from multiprocess.connection import wait

from bus.keeper import StreamKeeper
from relay.companion import Companion
from relay.errors import RelayError
from relay.fleet import Fleet
from relay.settings import SupervisionSettings
from relay.signals import SESSION_END, Request, SignalInbox
from relay.systemd import Notifier
from relay.worker_process import WorkerSpec

__all__ = ["Supervisor", "SupervisorContext"]

log = logging.getLogger(__name__)

TICK: Final = 1.0
REPEAT: Final = 1.0
"""Seconds after the first request to stop in which another one is the same one."""
LATE: Final = 0.5
"""Seconds of delay of a tick after which nobody is judged by it: whatever held the supervisor
up, a suspended machine or a debugger, may have held the workers up as well."""


@dataclass(frozen=True, slots=True)
class SupervisorContext:
    """What the supervisor works with. Whoever made these also closes them.

    Attributes:
        fleet: the workers, not started.
        listener: closed at the beginning of a stop, so that connections are refused instead
            of waiting for nobody.
        signals: the entered inbox.
        notifier: systemd.
        companions: programs beside the workers.
        keeper: keeps the streams of dead publishers, where somebody must; None: none.
        reload: reads the configuration again; raises RelayError when it cannot be used.
        announce: called once, when every worker is ready.
    """

    fleet: Fleet
    listener: socket.socket
    signals: SignalInbox
    notifier: Notifier
    companions: Sequence[Companion]
    keeper: StreamKeeper | None
    reload: Callable[[], tuple[WorkerSpec, SupervisionSettings]]
    announce: Callable[[], None]


class Supervisor:
    """Keeps a fleet running until it is told to stop."""

    def __init__(self, context: SupervisorContext) -> None:
        self._context = context
        self._fleet = context.fleet
        self._companions = context.companions
        self._notifier = context.notifier
        self._announced = False
        self._reloading = False
        self._stopping_since: float | None = None
        self._stop_request: Request | None = None
        self._next_tick = 0.0
        watchdog = context.notifier.watchdog
        # Half of systemd's period, as its manual advises.
        self._tick = TICK if watchdog is None else min(TICK, watchdog / 2)

    def run(self) -> None:
        """Start everything, and return when everything has stopped.

        Raises:
            WorkersFailed: when workers do not start; all of them are gone by then.
        """
        try:
            self._next_tick = time.monotonic() + self._tick
            self._fleet.start()
            for companion in self._companions:
                _start(companion)
            while not self._finished():
                self._turn()
        finally:
            self._kill_all()
            self._fleet.reap_all()
            for companion in self._companions:
                if companion.running:
                    companion.ended(time.monotonic())
        if self._fleet.failure is not None:
            raise self._fleet.failure

    def _finished(self) -> bool:
        accompanied = any(each.running for each in self._companions)
        return self._stopping_since is not None and not self._fleet.alive and not accompanied

    def _turn(self) -> None:
        readable = self._wait()
        # Signals first: after Ctrl-C deaths are no surprise.
        if not readable.isdisjoint(self._context.signals.sources):
            for request in self._context.signals.read():
                self._on_request(request)
        for asked in self._fleet.handle(readable):
            self._on_admin(asked)
        now = time.monotonic()
        for companion in self._companions:
            self._attend(companion, readable, now)
        if now >= self._next_tick:
            self._on_tick(now)
        self._fleet.advance(now)
        self._tell_progress()

    def _attend(self, companion: Companion, readable: set[Any], now: float) -> None:
        if companion.running and companion.sentinel in readable:
            level = logging.INFO if self._stopping_since is not None else logging.WARNING
            log.log(level, companion.ended(now))
        if companion.kill_at is not None and now >= companion.kill_at:
            companion.kill()
        if companion.restart_at is not None and now >= companion.restart_at:
            _start(companion)

    def _wait(self) -> set[Any]:
        sources = [*self._context.signals.sources, *self._fleet.sources()]
        due = [self._next_tick, self._fleet.next_due()]
        for companion in self._companions:
            due += [companion.restart_at, companion.kill_at]
            if companion.running:
                sources.append(companion.sentinel)
        earliest = min(at for at in due if at is not None)
        return set(wait(sources, max(0.0, earliest - time.monotonic())))

    def _on_tick(self, now: float) -> None:
        if now - self._next_tick < LATE:
            self._fleet.kill_hung()
        self._fleet.sample(now)
        if self._context.keeper is not None:
            self._context.keeper.refresh()
        self._notifier.alive()
        self._next_tick = now + self._tick

    def _tell_progress(self) -> None:
        if self._fleet.failure is not None and self._stopping_since is None:
            self._stop()
        if self._stopping_since is not None:
            return
        if not self._announced and self._fleet.all_ready:
            self._announced = True
            self._notifier.ready("serving")
            self._context.announce()
        if self._reloading and not self._fleet.rolling:
            self._reloading = False
            self._notifier.ready("serving")

    def _on_request(self, request: Request) -> None:
        if request.reload:
            self._reload(request.name)
        elif self._stopping_since is None:
            log.info("%s: stopping", request.name)
            self._stop_request = request
            self._stop()
        elif request == SESSION_END:
            # Each process of a console is told of it, and each tells here.
            return
        elif request != self._stop_request or time.monotonic() - self._stopping_since >= REPEAT:
            # The same one at once is no second wish: a Ctrl-C reaches a process twice when
            # its parent passes it on.
            log.warning("%s: stopping at once", request.name)
            self._kill_all()

    def _on_admin(self, asked: Mapping[str, Any]) -> None:
        """What an operator asked a worker for; the worker has looked whether it makes sense."""
        if self._stopping_since is not None:
            return
        match asked["do"]:
            case "end":
                self._on_request(SESSION_END)
            case "reload":
                self._reload("admin API")
            case "restart":
                self._fleet.restart(asked["slot"])
            case "drain":
                self._fleet.take_out(asked["slot"])
            case "kick":
                message = {"type": "kick", "viewer": asked["viewer"]}
                self._fleet.tell(message, (asked["slot"], asked["generation"]))
            case "stop":
                self._fleet.tell({"type": "stop", "stream": asked["stream"]})

    def _reload(self, asked_by: str) -> None:
        if self._stopping_since is not None:
            return
        try:
            spec, supervision = self._context.reload()
        except (RelayError, SystemExit) as exc:
            log.error("the configuration is not reloaded: %s", exc)
            return
        self._reloading = True
        self._notifier.reloading(time.monotonic_ns() // 1000)
        if self._fleet.renew_certificate(spec, supervision):
            log.info("%s: all workers have the new TLS certificate; nothing else is new", asked_by)
        else:
            log.info("%s: replacing all workers, one by one", asked_by)
            self._fleet.roll(spec, supervision)

    def _stop(self) -> None:
        self._stopping_since = time.monotonic()
        self._notifier.stopping()
        self._context.listener.close()
        self._fleet.drain()
        for companion in self._companions:
            companion.stop(time.monotonic())

    def _kill_all(self) -> None:
        self._fleet.kill()
        for companion in self._companions:
            companion.kill()


def _start(companion: Companion) -> None:
    try:
        companion.start(time.monotonic())
    except OSError as exc:
        log.error("%s cannot be started: %s", companion.name, exc.strerror)
