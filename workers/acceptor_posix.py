"""Accepting from the shared listener on POSIX.

The supervisor holds the listener and never accepts; every worker polls it and accepts one
connection at a time, asking the gate before and after. The listener is never shut down
here, since that would end it for all; a worker that stops merely polls no more.

An error of `accept` belongs to the one connection that died in the backlog. Running out of
descriptors or memory pauses accepting for a moment: the backlog keeps whoever waits.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from workers.deadlines import TICK
from workers.gate import BalanceGate
from workers.table import Column, WorkerRow

__all__ = ["Acceptor"]

log = logging.getLogger(__name__)

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_COMPLAINT_INTERVAL: Final = 60.0
"""Seconds between two lines about the same shortage."""


class Acceptor:
    """Polls the listener while the gate and the rate limit allow it."""

    def __init__(
        self,
        listener: socket.socket,
        gate: BalanceGate,
        row: WorkerRow,
        accepted: Callable[[socket.socket, str], None],
        *,
        per_second: int,
    ) -> None:
        """Prepare; nothing is accepted before `start`.

        Args:
            listener: the shared socket, non-blocking.
            gate: who asks the other workers.
            row: this worker's statistics.
            accepted: takes over a connection and its peer's address.
            per_second: new connections in a second, at most.
        """
        self._listener = listener
        self._gate = gate
        self._row = row
        self._accepted = accepted
        self._per_tick = max(1, int(per_second * TICK))
        self._left = self._per_tick
        self._armed = False
        self._running = False
        self._exhausted = False
        self._complained_at = -_COMPLAINT_INTERVAL
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin to accept."""
        self._running = True
        self.rearm()

    def stop(self) -> None:
        """Accept no more. Connections in the backlog are for the other workers."""
        self._running = False
        self._row[Column.GATED] = 0
        self._disarm()

    def rearm(self) -> None:
        """Poll the listener if everything allows it. Called whenever something changed."""
        if self._armed or not self._running or self._left <= 0 or self._exhausted:
            return
        if self._gate.is_open():
            self._armed = True
            self._loop.add_reader(self._listener.fileno(), self._ready)

    def _disarm(self) -> None:
        if self._armed:
            self._armed = False
            self._loop.remove_reader(self._listener.fileno())

    def tick(self) -> None:
        """Renew the rate limit's allowance."""
        self._left = self._per_tick
        self._exhausted = False
        self.rearm()

    def _ready(self) -> None:
        if not self._gate.is_open():
            self._disarm()
            return
        try:
            connection, address = self._listener.accept()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._row.add(Column.ACCEPT_ERRORS)
            if exc.errno in _EXHAUSTED:
                self._exhausted = True
                self._disarm()
                self._complain(exc)
            return
        self._left -= 1
        self._row.add(Column.ACCEPTED)
        self._row.add(Column.CONNECTIONS)
        self._gate.tell()
        connection.setblocking(False)
        self._accepted(connection, address[0])
        if self._left <= 0 or not self._gate.is_open():
            self._disarm()

    def _complain(self, error: OSError) -> None:
        now = self._loop.time()
        if now - self._complained_at >= _COMPLAINT_INTERVAL:
            self._complained_at = now
            log.warning("cannot accept: %s; raise the limit (ulimit -n)", error.strerror)
