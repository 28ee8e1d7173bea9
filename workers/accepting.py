"""When to accept: what the gate, the rate limit and shortages allow.

The supervisor holds the one listener and never accepts; each worker takes one connection at
a time, asking the gate before and after. The listener is never shut down or closed for its
sake, since that would end it for all; a worker that stops merely takes no more.

How a connection is taken is the platform's: `acceptor_posix.py`, `acceptor_windows.py`. An
error belongs to the one connection that died in the backlog.

A worker that is short of descriptors or memory is full: it takes nobody until it has room
again, says so in its row, and leaves newcomers to the others; when all are full the backlog
keeps them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from workers.deadlines import TICK
from workers.gate import BalanceGate
from workers.table import Column, WorkerRow

__all__ = ["BaseAcceptor"]

log = logging.getLogger(__name__)

_COMPLAINT_INTERVAL: Final = 60.0
"""Seconds between two lines about the same shortage."""


class BaseAcceptor(ABC):
    """Takes connections while everything allows it."""

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
        self._full = False
        self._complained_at = -_COMPLAINT_INTERVAL
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin to accept."""
        self._running = True
        self.rearm()

    def stop(self, retired: Callable[[], object] = lambda: None) -> None:
        """Accept no more. Connections in the backlog are for the other workers.

        Args:
            retired: called, now or later, when nothing is under way any more; a connection
                that was taken before that has been handed over as usual.
        """
        self._running = False
        self._row[Column.GATED] = 0
        self._retire(retired)

    def rearm(self) -> None:
        """Take the next connection if everything allows it. Called whenever something changed."""
        if self._armed or not self._running or self._left <= 0 or self._full:
            return
        if self._gate.is_open():
            self._arm()

    def released(self) -> None:
        """A connection was closed: there may be room again, and fewer than the others have."""
        if self._full and self._has_room():
            self._full = False
            self._row[Column.FULL] = 0
        self.rearm()

    def tick(self) -> None:
        """Called every `TICK`: renews the rate limit's allowance."""
        self._left = self._per_tick
        self.released()

    @abstractmethod
    def _arm(self) -> None:
        """Begin to take one connection, or connections one by one; sets ``_armed``."""

    @abstractmethod
    def _retire(self, retired: Callable[[], object]) -> None:
        """End what `_arm` began and call ``retired`` when it has ended."""

    @abstractmethod
    def _shortage(self, error: OSError) -> str | None:
        """What to do about a want of descriptors or memory; None for other errors."""

    @abstractmethod
    def _has_room(self) -> bool:
        """Whether a full worker may try again."""

    def _take(self, connection: socket.socket, address: str) -> None:
        """Count a connection and hand it over."""
        self._left -= 1
        self._row.add(Column.ACCEPTED)
        self._row.add(Column.CONNECTIONS)
        self._gate.tell()
        connection.setblocking(False)
        try:
            self._accepted(connection, address)
        except Exception as exc:
            # Whatever it is, it is about this one peer; the next is welcome.
            log.error("a connection could not be served: %r", exc)
            self._row.add(Column.CONNECTIONS, -1)
            connection.close()

    def _fail(self, error: OSError) -> None:
        """Count a connection that could not be taken; pause if none could."""
        self._row.add(Column.ACCEPT_ERRORS)
        remedy = self._shortage(error)
        if remedy is not None:
            self._pause(f"{error.strerror}; {remedy}")

    def _pause(self, why: str) -> None:
        """Take nobody until there is room; the others go on without this worker."""
        self._full = True
        self._row[Column.FULL] = 1
        self._gate.tell()
        now = self._loop.time()
        if now - self._complained_at >= _COMPLAINT_INTERVAL:
            self._complained_at = now
            log.warning("cannot accept: %s", why)
