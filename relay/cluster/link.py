"""The bridge's connection to NATS: one sender, and little on the way.

Control messages go first. Frames of all streams take turns of about the same size, so a large
frame or a busy stream delays no other. What NATS has not confirmed (PING and PONG, which keep
their order among messages) is bounded by time: when the oldest confirmation is overdue no
further frame is sent, and after a late one only as much as the link carried in time, so frames
grow old in their outboxes instead of in buffers that nobody can take them back from.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from relay.cluster.counters import ClusterCounters, Counter
from relay.cluster.settings import ClusterSettings, credentials, node_name, tls_context
from relay.errors import RelayError

__all__ = ["Link", "LinkError", "Source"]

log = logging.getLogger(__name__)

PATIENCE: Final = 0.25
"""Seconds beyond the shortest round trip after which a confirmation is overdue."""
UNCONFIRMED_BYTES: Final = 8 * 1024 * 1024
LEAST_UNCONFIRMED_BYTES: Final = 16 * 1024
RECEIVE_BYTES: Final = 16 * 1024 * 1024
"""Bytes of one subscription that may wait in this process."""
PING_INTERVAL: Final = 2
RECONNECT_WAIT: Final = 1
CONNECT_TIMEOUT: Final = 2
ENVELOPE_BYTES: Final = 256
"""Room in a message for a piece's other fields."""
PIECE_BYTES: Final = 256 * 1024
"""Bytes of a piece at most: what a turn among streams may cost the others."""
TURN_BYTES: Final = 16 * 1024
"""A stream whose turn it is goes on until it has sent as much, so that many small frames wait no
longer than one large one."""

LEAST_PAYLOAD: Final = 1024
"""Of messages that NATS must let through: a piece of a frame, or a stream's metadata."""

Receive = Callable[[str, bytes], None]


class LinkError(RelayError):
    """NATS cannot be used, or not any more."""


class Source(Protocol):
    """Something with messages to send, one at a time."""

    def next_message(self) -> tuple[str, bytes] | None:
        """Subject and data; None when there is nothing now."""


class Link:
    """See the module.

    Attributes:
        sources: who takes turns; whoever has something new calls `wake`.
    """

    def __init__(
        self, settings: ClusterSettings, counters: ClusterCounters, on_up: Callable[[], None]
    ) -> None:
        """Prepare.

        Args:
            on_up: called whenever the connection is there, the first time or again.
        """
        self._settings = settings
        self._counters = counters
        self._on_up = on_up
        self._client = Client()
        self._wake = asyncio.Event()
        self._control: deque[Callable[[], Awaitable[object]]] = deque()
        self.sources: deque[Source] = deque()
        # Bytes that the first of the sources has sent in its turn.
        self._turn = 0
        self._unconfirmed = 0
        self._window = UNCONFIRMED_BYTES
        self._asked_at: float | None = None
        self._shortest = float("inf")
        self._confirming: asyncio.Task[None] | None = None
        self._told: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

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
                    self._complain(_words(exc))
            raise LinkError(f"NATS ended the connection: {_words(self._client.last_error)}")
        finally:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await asyncio.wait_for(self._client.close(), CONNECT_TIMEOUT)

    async def _connect(self) -> None:
        settings = self._settings
        servers = settings.cluster.split(",")
        options: dict[str, Any] = {**credentials(settings), "tls": tls_context(settings)}
        await self._client.connect(
            servers,
            name=f"relay {node_name(settings)}",
            no_echo=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT,
            connect_timeout=CONNECT_TIMEOUT,
            ping_interval=PING_INTERVAL,
            max_outstanding_pings=3,
            pending_size=2 * UNCONFIRMED_BYTES,
            error_cb=self._on_error,
            disconnected_cb=self._on_down,
            reconnected_cb=self._on_back,
            closed_cb=self._on_closed,
            **{name: value for name, value in options.items() if value is not None},
        )
        if self._client.max_payload < LEAST_PAYLOAD:
            raise LinkError(
                f"NATS takes messages of {self._client.max_payload} bytes at most; "
                f"set its max_payload to {LEAST_PAYLOAD} or more, as it is by default"
            )
        self._up()

    async def _on_closed(self) -> None:
        self.wake()

    def _up(self) -> None:
        url = self._client.connected_url
        log.info("connected to NATS at %s", url.netloc if url else self._settings.cluster)
        self._told.clear()
        self._counters.set(Counter.CONNECTED, 1)
        self._on_up()
        self.wake()

    async def _on_back(self) -> None:
        self._counters.add(Counter.RECONNECTS)
        self._up()

    async def _on_down(self) -> None:
        if not self._client.is_closed:
            log.warning("the connection to NATS is lost; trying again")
        self._counters.set(Counter.CONNECTED, 0)
        if self._confirming is not None:
            self._confirming.cancel()
        # Nobody will answer what was asked of this connection.
        for task in self._tasks:
            task.cancel()
        self._unconfirmed = 0
        self._window = UNCONFIRMED_BYTES
        self._asked_at = None

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self._counters.add(Counter.SLOW_CONSUMERS)
            return
        if "permissions violation" in str(error).lower():
            self._counters.add(Counter.REFUSED)
        self._complain(_words(error))

    def _complain(self, words: str) -> None:
        """Log each trouble once a minute, not at every attempt."""
        now = time.monotonic()
        if now - self._told.get(words, -60.0) >= 60.0:
            self._told[words] = now
            log.warning("NATS: %s", words)

    # Sending.

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def send(self, subject: str, data: bytes) -> None:
        """Send a control message ahead of frames; it is lost while there is no connection."""
        if self.connected:
            self._control.append(lambda: self._publish(subject, data))
            self.wake()

    async def _publish(self, subject: str, data: bytes) -> None:
        try:
            await self._client.publish(subject, data)
        except nats.errors.MaxPayloadError:
            self._complain(
                f"{subject}: a message of {len(data)} bytes is more than NATS takes; "
                "set its max_payload higher"
            )

    def subscribe(self, subject: str, receive: Receive) -> Callable[[], None]:
        """Listen to a subject, also after each reconnection.

        Returns:
            What ends it.
        """
        made: list[Subscription] = []

        async def deliver(message: Msg) -> None:
            receive(message.subject, message.data)

        async def begin() -> None:
            made.append(
                await self._client.subscribe(
                    subject,
                    cb=deliver,
                    pending_msgs_limit=65536,
                    pending_bytes_limit=RECEIVE_BYTES,
                )
            )

        async def end() -> None:
            if made:
                await made.pop().unsubscribe()

        def stop() -> None:
            self._control.append(end)
            self.wake()

        self._control.append(begin)
        self.wake()
        return stop

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call back when everything has come that NATS holds for this node now."""

        async def wait() -> None:
            try:
                with contextlib.suppress(nats.errors.Error, OSError):
                    await self._client.flush(60)
            finally:
                call()

        async def begin() -> None:
            # After what was asked of NATS before, such as the end of a subscription.
            task = asyncio.get_running_loop().create_task(wait())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._control.append(begin)
        self.wake()

    async def sent(self) -> None:
        """Wait, not long, until control messages have reached NATS."""
        with contextlib.suppress(nats.errors.Error, OSError):
            while self._control and self.connected:
                await self._control.popleft()()
            if self.connected:
                await self._client.flush(1)

    async def _send_all(self) -> None:
        while self.connected:
            if self._control:
                await self._control.popleft()()
            elif self._window_open() and (message := self._next()) is not None:
                subject, data = message
                self._unconfirmed += len(data)
                await self._publish(subject, data)
                self._confirm()
            else:
                return
            # nats-py does not yield where nothing waits; receiving must not starve.
            await asyncio.sleep(0)

    def _next(self) -> tuple[str, bytes] | None:
        # Once more than there are: whose turn is over may be the only one with anything to send.
        for _ in range(len(self.sources) + 1):
            if not self.sources:
                break
            message = self.sources[0].next_message() if self._turn < TURN_BYTES else None
            if message is not None:
                self._turn += len(message[1])
                return message
            self.sources.rotate(-1)
            self._turn = 0
        return None

    def _window_open(self) -> bool:
        if self._asked_at is None:
            return True
        overdue = time.monotonic() - self._asked_at > PATIENCE + min(self._shortest, 2.0)
        return not overdue and self._unconfirmed < self._window

    def _confirm(self) -> None:
        if self._confirming is None:
            self._confirming = asyncio.get_running_loop().create_task(self._ask())
            self._confirming.add_done_callback(self._confirmed)

    async def _ask(self) -> None:
        while self._unconfirmed:
            # nats-py writes a PING ahead of what it has not written yet.
            covered = max(0, self._unconfirmed - self._client.pending_data_size)
            self._asked_at = asked = time.monotonic()
            await self._client.flush(60)
            took = time.monotonic() - asked
            self._shortest = min(self._shortest, took)
            self._adapt(covered, took - self._shortest)
            self._counters.set(Counter.RTT_US, int(took * 1e6))
            self._unconfirmed = max(0, self._unconfirmed - covered)
            self.wake()

    def _adapt(self, covered: int, waited: float) -> None:
        """Let as much be on the way as the link carries in the time that we are patient."""
        if waited > PATIENCE:
            self._window = max(LEAST_UNCONFIRMED_BYTES, int(covered * PATIENCE / waited))
        else:
            self._window = min(UNCONFIRMED_BYTES, self._window + self._window // 4)

    def _confirmed(self, task: asyncio.Task[None]) -> None:
        self._confirming = None
        self._asked_at = None
        if not task.cancelled():
            task.exception()
        self.wake()


def _words(error: Exception | None) -> str:
    return (str(error) or type(error).__name__).removeprefix("nats: ")
