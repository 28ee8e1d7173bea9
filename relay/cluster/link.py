"""The bridge's own connection to NATS: who lives, what is published, who wants what.

What is said here is said again every second or asked for again, so it is lost while there is no
connection, and what a link does not take is bounded. Frames never go here: each stream has a
connection of its own (`lane`), so none of them can delay another, or the news.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from relay.cluster.complaints import Complaints, words_of
from relay.cluster.connection import CONNECT_TIMEOUT, PING_INTERVAL, connect_options, publish
from relay.cluster.connections import Connections
from relay.cluster.counters import ClusterCounters, Counter
from relay.cluster.settings import ClusterSettings
from relay.errors import RelayError

__all__ = ["Link", "LinkError"]

log = logging.getLogger(__name__)

RECONNECT_WAIT: Final = 1
QUEUE_BYTES: Final = 4 * 1024 * 1024
"""Messages that may wait to be sent: all that a node with thousands of streams has to say."""
MESSAGE_BYTES: Final = 256
"""What a message in the queue counts beyond its data."""
RECEIVE_BYTES: Final = 16 * 1024 * 1024
"""Bytes of one subscription that may wait in this process."""
ENVELOPE_BYTES: Final = 256
"""Room in a message for a piece's other fields."""
PIECE_BYTES: Final = 64 * 1024
"""Bytes of a piece at most: what is on its way when a slow link has to be told to wait."""
LEAST_PAYLOAD: Final = 1024
"""Of messages that NATS must let through: a piece of a frame, or a stream's metadata."""

Receive = Callable[[str, bytes], None]


class LinkError(RelayError):
    """NATS cannot be used, or not any more."""


class Link:
    """See the module.

    Attributes:
        connections: those for streams.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        counters: ClusterCounters,
        on_up: Callable[[], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Prepare; for a running loop.

        Args:
            on_up: called whenever the connection is there, the first time or again.
            fail: called with an error that ends the bridge.

        Raises:
            ConfigError: a file that the settings name cannot be used.
        """
        options = connect_options(settings)
        self._options = options
        self._counters = counters
        self._on_up = on_up
        self._client = Client()
        self._complaints = Complaints(counters)
        self.connections = Connections(options, self._complaints, counters, fail)
        self._wake = asyncio.Event()
        self._queue: deque[tuple[str, bytes]] = deque()
        self._queued = 0
        self._subscriptions: dict[str, Receive] = {}
        self._measuring: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether messages go out now."""
        return bool(self._client.is_connected)

    def piece_bytes(self) -> int:
        """Largest piece of a frame that fits into a message."""
        return min(PIECE_BYTES, max(LEAST_PAYLOAD, self._client.max_payload) - ENVELOPE_BYTES)

    async def run(self) -> None:
        """Connect and send until cancelled.

        Raises:
            LinkError: NATS is of no use, or ended the connection for good: credentials that hold
                no longer, for example, or limits of the account.
        """
        try:
            await self._connect()
            while not self._client.is_closed:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self._send_all()
                except (nats.errors.Error, OSError) as exc:
                    self._complaints.say(f"NATS: {words_of(exc)}")
            raise LinkError(f"NATS ended the connection: {words_of(self._client.last_error)}")
        finally:
            self.connections.close()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await asyncio.wait_for(self._client.close(), CONNECT_TIMEOUT)

    async def _connect(self) -> None:
        await self._client.connect(
            **self._options,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT,
            error_cb=self._on_error,
            disconnected_cb=self._on_down,
            reconnected_cb=self._on_back,
            closed_cb=self._on_closed,
        )
        if self._client.max_payload < LEAST_PAYLOAD:
            raise LinkError(
                f"NATS takes messages of {self._client.max_payload} bytes at most; "
                f"set its max_payload to {LEAST_PAYLOAD} or more, as it is by default"
            )
        for subject, receive in self._subscriptions.items():
            await self._subscribe(subject, receive)
        self._up()

    async def _on_closed(self) -> None:
        self._wake.set()

    def _up(self) -> None:
        url = self._client.connected_url
        log.info("connected to NATS at %s", url.netloc if url else self._options["servers"])
        self._complaints.forget()
        self._counters.set(Counter.CONNECTED, 1)
        self._measuring = asyncio.get_running_loop().create_task(self._measure())
        self.connections.allow()
        self._on_up()

    async def _on_back(self) -> None:
        self._counters.add(Counter.RECONNECTS)
        self._up()

    async def _on_down(self) -> None:
        if not self._client.is_closed:
            log.warning("the connection to NATS is lost; trying again")
        self._counters.set(Counter.CONNECTED, 0)
        self.connections.forbid()
        self._forget()
        # Nobody will answer what was asked of this connection.
        if self._measuring is not None:
            self._measuring.cancel()

    async def _on_error(self, error: Exception) -> None:
        self._complaints.report(error)

    async def _measure(self) -> None:
        with contextlib.suppress(nats.errors.Error, OSError):
            while True:
                asked = time.monotonic()
                await self._client.flush(60)
                self._counters.set(Counter.RTT_US, int((time.monotonic() - asked) * 1e6))
                await asyncio.sleep(PING_INTERVAL)

    # Receiving.

    def listen(self, subject: str, receive: Receive) -> None:
        """Listen to a subject from the first connection on; called before `run`."""
        self._subscriptions[subject] = receive

    async def _subscribe(self, subject: str, receive: Receive) -> None:
        async def deliver(message: Msg) -> None:
            receive(message.subject, message.data)

        await self._client.subscribe(
            subject, cb=deliver, pending_msgs_limit=65536, pending_bytes_limit=RECEIVE_BYTES
        )

    # Sending.

    def send(self, subject: str, data: bytes) -> None:
        """Send a message; it is lost while there is no connection, or when too many wait."""
        if not self.connected:
            return
        size = len(data) + MESSAGE_BYTES
        if self._queued + size > QUEUE_BYTES:
            self._complaints.say("NATS takes news too slowly; some are left out until it does")
            return
        self._queued += size
        self._queue.append((subject, data))
        self._wake.set()

    async def _send_all(self) -> None:
        while self._queue and self.connected:
            subject, data = self._queue.popleft()
            self._queued -= len(data) + MESSAGE_BYTES
            await publish(self._client, self._complaints, subject, data)
            # nats-py does not yield where nothing waits; receiving must not starve.
            await asyncio.sleep(0)

    def _forget(self) -> None:
        self._queue.clear()
        self._queued = 0

    async def sent(self) -> None:
        """Wait, not long, until NATS has what was sent."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._send_all()
            if self.connected:
                await self._client.flush(1)
