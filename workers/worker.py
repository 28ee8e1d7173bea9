"""The life of one worker process, from its context to its exit code.

One event loop. Everything that happens is a completion or a ring; one tick of `TICK` seconds
carries the heartbeat and all deadlines. A worker stops when it is told to on its control
pipe, or when that pipe ends because the supervisor is gone: it accepts no more, closes its
peers with 1012, waits until their connections have retired, and only then leaves. What
signals mean to the process is for its launcher to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from websockets.frames import CloseCode

from bus.doorbell import open_doorbell, open_ringer
from bus.reclaim import reclaim
from workers.acceptor import Acceptor
from workers.certificate import Certificate, server_context
from workers.connection import Connection
from workers.context import WorkerContext
from workers.control import ControlPipe
from workers.deadlines import TICK, Deadlines
from workers.engines.choose import choose_engine
from workers.gate import GATE_TOKEN, BalanceGate
from workers.moderation import ModeratedBell
from workers.router import StreamRouter
from workers.services import StreamServices
from workers.session import Services
from workers.settings import ViewerSettings
from workers.table import ENGINES, Column, WorkerState, WorkerTable
from workers.tls import TlsLayer

__all__ = ["run_worker"]

log = logging.getLogger(__name__)

_STOPPING: Final = "this worker is stopping"
_BY_OPERATOR: Final = "closed by the operator"
_SURPLUS_LIMIT: Final = 64
"""Connections beyond their address's limit that are told so at a time; more are just closed."""
_ORPHAN_DRAIN: Final = 2.0
"""Seconds that a worker without supervisor gives its peers."""
_NEW_OBJECTS: Final = 20_000
"""Objects after which garbage is looked for. Connections leave none, so it can be seldom."""
_ORPHAN_GRACE: Final = 5.0
"""Seconds after which an orphan that hangs is ended by force."""


def run_worker(context: WorkerContext) -> int:
    """Serve until told to stop.

    Returns:
        Exit code for the process: 0 when it stopped as it was told.
    """
    return _run(_Worker(context).serve)


def _run(main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


class _Worker:
    """Builds the parts and connects them; see the module."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._connections: set[Connection] = set()
        self._addresses: Counter[str] = Counter()
        self._surplus = 0
        self._retired = asyncio.Event()
        self._draining = False
        self._accepting = True
        self._orphan = False

    async def serve(self) -> int:
        """Run from the first accept to the last retired connection."""
        context = self._context
        self._loop = asyncio.get_running_loop()
        self._table = WorkerTable.attach(context.instance)
        self._row = row = self._table.row(context.row)
        self._bell = open_doorbell(context.instance)
        self._ringer = open_ringer(context.instance)
        self._deadlines = Deadlines(time.monotonic())
        # TLS is made above the loop's transports, which alone can then send.
        self._engine = choose_engine("asyncio" if context.certificate else context.engine)
        self._tls: ssl.SSLContext | None = None
        if context.certificate is not None:
            self._take_certificate(context.certificate)
        self._streams = StreamServices(
            context.instance,
            bell=self._bell,
            engine=self._engine,
            row=row,
            limits=context.limits,
            settings=context.viewer,
        )
        self._services = Services(
            engine=self._engine,
            limits=context.limits,
            settings=context.viewer,
            row=row,
            router=StreamRouter(self._streams, context.authorizer, context.pages),
            watch=self._deadlines.watch,
            closed=self._closed,
        )
        self._gate = BalanceGate(self._table, row, self._ringer)
        context.listener.setblocking(False)
        self._acceptor = Acceptor(
            context.listener,
            self._gate,
            row,
            self._accepted,
            per_second=context.limits.max_accepts_per_second,
        )
        row[Column.BELL] = self._bell.id
        row[Column.ENGINE] = ENGINES.index(self._engine.name)
        self._streams.on_ring(GATE_TOKEN, self._acceptor.rearm)
        self._listening = ModeratedBell(self._bell, self._loop, self._streams.rung)
        self._control = ControlPipe(context.control, self._controlled, self._abandoned)
        self._tick()
        # What is there by now stays: it need not be looked through.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS)
        row[Column.STATE] = WorkerState.READY
        self._acceptor.start()
        self._control.send({"type": "ready"})
        await self._retired.wait()
        return self._close()

    # Events of the loop.

    def _tick(self) -> None:
        now = time.monotonic()
        self._row[Column.HEARTBEAT_NS] = time.monotonic_ns()
        self._deadlines.run(now)
        self._streams.tick()
        self._acceptor.tick()
        self._timer = self._loop.call_later(TICK, self._tick)

    def _controlled(self, message: dict[str, Any]) -> None:
        if message["type"] == "drain":
            self._drain(float(message["deadline"]))
        elif message["type"] == "certificate":
            self._take_certificate(Certificate(message["pem"], message["expires"]))
        elif message["type"] == "kick":
            self._streams.kick(message["viewer"], _BY_OPERATOR)
        elif message["type"] == "stop":
            self._streams.stop_stream(message["stream"], _BY_OPERATOR)

    def _take_certificate(self, certificate: Certificate) -> None:
        """For connections from now on; those that are open keep theirs."""
        self._tls = server_context(certificate)
        self._row[Column.CERTIFICATE_EXPIRES] = certificate.expires

    def _abandoned(self) -> None:
        """The supervisor is gone: leave, and clear away what it can no longer."""
        self._orphan = True
        log.error("the supervisor is gone; this worker leaves")
        # Should this loop hang from here on, nobody is left to notice.
        timer = threading.Timer(_ORPHAN_GRACE, os._exit, (1,))
        timer.daemon = True
        timer.start()
        self._drain(_ORPHAN_DRAIN)

    # Connections.

    def _accepted(self, sock: socket.socket, address: str) -> None:
        surplus = self._addresses[address] >= self._context.limits.max_connections_per_address
        if surplus and self._surplus >= _SURPLUS_LIMIT:
            self._row.add(Column.REFUSED_LIMIT)
            self._row.add(Column.CONNECTIONS, -1)
            sock.close()
            return
        if surplus:
            self._surplus += 1
        else:
            self._addresses[address] += 1
        connection = Connection(self._services, address, surplus=surplus)
        self._connections.add(connection)
        # Who is gone already is found out by the engine.
        with contextlib.suppress(OSError):
            _tune(sock, self._context.viewer)
        self._engine.attach(sock, self._protocol_of(connection))
        if self._draining:
            connection.close(CloseCode.SERVICE_RESTART, _STOPPING)

    def _protocol_of(self, connection: Connection) -> asyncio.Protocol:
        """What the loop gives a connection's bytes to."""
        if self._tls is None:
            return connection
        return TlsLayer(self._tls, connection, partial(self._tls_failed, connection))

    def _tls_failed(self, connection: Connection, why: str) -> None:
        self._row.add(Column.REFUSED_TLS)
        log.debug("%s does not get through with TLS: %s", connection, why)

    def _closed(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self._deadlines.forget(connection)
        address = connection.address
        if connection.surplus:
            self._surplus -= 1
        else:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
        self._row.add(Column.CONNECTIONS, -1)
        if self._draining:
            self._check_retired()
        else:
            self._acceptor.released()

    # Stopping.

    def _drain(self, deadline: float) -> None:
        if self._draining:
            return
        self._draining = True
        self._row[Column.STATE] = WorkerState.DRAINING
        self._acceptor.stop(self._accepting_ended)
        self._gate.tell()
        for connection in list(self._connections):
            connection.close(CloseCode.SERVICE_RESTART, _STOPPING)
        self._loop.call_later(deadline, self._abort_all)
        self._check_retired()

    def _abort_all(self) -> None:
        if self._connections:
            log.warning("%d peers did not close in time", len(self._connections))
        for connection in list(self._connections):
            connection.abort()

    def _accepting_ended(self) -> None:
        self._accepting = False
        self._check_retired()

    def _check_retired(self) -> None:
        if not self._connections and not self._accepting:
            self._retired.set()

    def _close(self) -> int:
        self._timer.cancel()
        self._listening.close()
        self._control.close()
        self._streams.close()
        self._engine.close()
        self._ringer.close()
        self._bell.close()
        if self._orphan:
            self._table.unlink()
        self._table.close()
        if self._orphan:
            reclaim(self._context.instance)
        return 0


def _tune(sock: socket.socket, settings: ViewerSettings) -> None:
    """Send at once, and bound what hides in the kernel for a peer that does not read."""
    # Without it a frame would wait for the acknowledgement of the one before it (Nagle).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, settings.unsent_low_water)
    else:
        # What is sent and not acknowledged counts here, too.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, settings.unsent_low_water)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = int(settings.user_timeout * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
