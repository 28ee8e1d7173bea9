"""A stream's own way through NATS, at the node that sends it or at one that receives it.

One connection after the other: where one is lost, or left because too much waits for it, the
stream goes on over the next. So TCP shares a link among streams, NATS counts what waits for each
of them, and none delays another.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import nats.errors

from relay.cluster.complaints import words_of
from relay.cluster.connection import Connection
from relay.cluster.connections import Connections
from relay.cluster.window import Window

__all__ = ["ReceivingLane", "SendingLane", "Source"]

REOPEN_INTERVAL: Final = 0.5
"""Seconds between the beginnings of two connections at least."""
LOSS_PAUSE: Final = 0.1
"""Seconds after which the bridge's own connection has noticed, too, if NATS is away."""
STALE: Final = 8
"""Seconds without an answer after which a connection is given up: a cut link, for example."""


class Lane(ABC):
    """See the module."""

    def __init__(self, connections: Connections) -> None:
        """Begin; for a running loop."""
        self._connections = connections
        self._connection: Connection | None = None
        self._running = asyncio.get_running_loop().create_task(self._run())
        self._running.add_done_callback(self._ended)

    @property
    def is_open(self) -> bool:
        """Whether it has a connection now."""
        return self._connection is not None

    async def _run(self) -> None:
        lost = False
        while True:
            connection = await self._connections.take(again=lost)
            began = time.monotonic()
            try:
                await connection.run(self._use(connection))
            except (nats.errors.Error, OSError) as exc:
                self._connections.complaints.say(f"NATS: {words_of(exc)}")
            finally:
                lost = self._connection is not None
                self._connection = None
                connection.drop()
            await asyncio.sleep(max(LOSS_PAUSE * lost, began + REOPEN_INTERVAL - time.monotonic()))

    @abstractmethod
    async def _use(self, connection: Connection) -> None: ...

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._connections.fail(error)

    def check(self) -> None:
        """Find out whether its connection is lost; called about twice a second."""
        if self._connection is not None:
            self._connection.check()

    def close(self) -> None:
        """End it; what still waits is dropped. May be called twice."""
        self._running.cancel()


class ReceivingLane(Lane):
    """Hears what the stream's owner sends."""

    def __init__(
        self,
        connections: Connections,
        subjects: Mapping[str, Callable[[bytes], None]],
        greet: Callable[[], tuple[str, bytes]],
    ) -> None:
        """Begin.

        Args:
            subjects: what to listen to, and who takes it.
            greet: gives subject and data of a message that is sent over each connection as
                soon as it listens, so that the answer to it is not missed.
        """
        super().__init__(connections)
        self._subjects = subjects
        self._greet = greet

    async def _use(self, connection: Connection) -> None:
        for subject, receive in self._subjects.items():
            await connection.subscribe(subject, receive)
        self._connection = connection
        await connection.publish(*self._greet())
        await connection.lost.wait()

    def reopen(self) -> None:
        """Go on over another connection, without what waits for this one."""
        if self._connection is not None:
            self._connection.drop()
            self._connection = None


class Source(Protocol):
    """Something with messages to send, one at a time."""

    def begin(self) -> None:
        """Another connection is used from now on; a message may not have arrived."""

    def next_message(self) -> tuple[str, bytes] | None:
        """Subject and data; None when there is nothing now."""


class SendingLane(Lane):
    """Sends what a source has, and no more than the link carries."""

    def __init__(self, connections: Connections, source: Source) -> None:
        super().__init__(connections)
        self._source = source
        self._wake = asyncio.Event()
        self._window = Window()

    @property
    def confirmed(self) -> bool:
        """Whether NATS has all that was sent and not lost with a connection."""
        return self._connection is None or not self._window.unconfirmed

    def wake(self) -> None:
        """The source has something new."""
        self._wake.set()

    async def _use(self, connection: Connection) -> None:
        window = self._window = Window()
        sent = asyncio.Event()
        self._source.begin()
        self._connection = connection
        self._wake.set()
        # Not cancelled: nats-py minds an answer that nobody waits for any more.
        confirming = asyncio.ensure_future(self._confirm(connection, window, sent))
        try:
            while not confirming.done():
                await self._wake.wait()
                self._wake.clear()
                while window.open and (message := self._source.next_message()) is not None:
                    window.sent(len(message[1]))
                    await connection.publish(*message)
                    sent.set()
                    # nats-py does not yield where nothing waits.
                    await asyncio.sleep(0)
        finally:
            connection.drop()
            sent.set()

    async def _confirm(self, connection: Connection, window: Window, sent: asyncio.Event) -> None:
        try:
            while not connection.lost.is_set():
                await sent.wait()
                sent.clear()
                while size := window.unconfirmed:
                    asked = time.monotonic()
                    await connection.confirm(STALE)
                    window.confirmed(size, time.monotonic() - asked)
                    self._wake.set()
        except (nats.errors.Error, OSError) as exc:
            if not connection.lost.is_set():
                self._connections.complaints.say(f"NATS: {words_of(exc)}")
        finally:
            connection.drop()
