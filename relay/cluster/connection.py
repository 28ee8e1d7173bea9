"""One connection to NATS that carries one stream, until it is lost or dropped.

It is never made again by itself: whoever uses it takes another one (`connections`). Dropping it
takes back what still waits for it, here and in NATS, which is the way to be rid of a backlog.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final, Self

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from relay.cluster.complaints import Complaints
from relay.cluster.settings import ClusterSettings, credentials, node_name, tls_context

__all__ = ["CONNECT_TIMEOUT", "Connection", "connect_options", "publish"]

CONNECT_TIMEOUT: Final = 2
CLOSE_TIMEOUT: Final = 2
PING_INTERVAL: Final = 2
RECEIVE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one subscription that may wait in this process."""
RECEIVE_MESSAGES: Final = 65536


def connect_options(settings: ClusterSettings) -> dict[str, Any]:
    """Arguments of nats-py's ``connect`` that all connections of a bridge share.

    Raises:
        ConfigError: a file cannot be used.
    """
    options: dict[str, Any] = {**credentials(settings), "tls": tls_context(settings)}
    return {
        "servers": settings.cluster.split(","),
        "name": f"relay {node_name(settings)}",
        "no_echo": True,
        "connect_timeout": CONNECT_TIMEOUT,
        "ping_interval": PING_INTERVAL,
        "max_outstanding_pings": 3,
        # So that publishing waits until the message was written, and nothing is kept for later.
        "pending_size": 1,
        **{name: value for name, value in options.items() if value is not None},
    }


async def publish(client: Client, complaints: Complaints, subject: str, data: bytes) -> None:
    """Publish, and wait until the message was written to the connection.

    Raises:
        nats.errors.Error, OSError: the connection does not take it.
    """
    try:
        await client.publish(subject, data)
    except nats.errors.MaxPayloadError:
        complaints.say(
            f"NATS: {subject}: a message of {len(data)} bytes is more than NATS takes; "
            "set its max_payload higher"
        )
    _raise_if_cancelled()


def _raise_if_cancelled() -> None:
    """End a task that was cancelled while nats-py waited, which keeps that to itself."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Connection:
    """See the module.

    Attributes:
        lost: set when it is of no use any more.
    """

    def __init__(self, complaints: Complaints) -> None:
        """Prepare it; `open` opens it."""
        self.lost = asyncio.Event()
        self._complaints = complaints
        self._client = Client()
        self._closing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, options: dict[str, Any], complaints: Complaints) -> Self:
        """Connect.

        Args:
            options: as `connect_options` returns them.

        Raises:
            nats.errors.Error, OSError: that failed.
        """
        made = cls(complaints)
        try:
            # Each server is tried; with 0, nats-py would go on for ever.
            await made._client.connect(
                **options,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                error_cb=made._on_error,
                closed_cb=made._on_closed,
            )
        except BaseException:
            made.drop()
            raise
        return made

    async def _on_error(self, error: Exception) -> None:
        self._complaints.report(error)
        # Not every way in which nats-py ends leads to closed_cb.
        asyncio.get_running_loop().call_soon(self.check)

    async def _on_closed(self) -> None:
        self.lost.set()

    def check(self) -> None:
        """Find out whether it is lost."""
        if self._client.is_closed:
            self.lost.set()

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something with it until that is done or the connection is lost.

        Raises:
            Whatever ``work`` raises.
        """
        tasks = {asyncio.ensure_future(work), asyncio.ensure_future(self.lost.wait())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def publish(self, subject: str, data: bytes) -> None:
        """As `publish`."""
        await publish(self._client, self._complaints, subject, data)

    async def subscribe(self, subject: str, receive: Callable[[bytes], None]) -> None:
        """Listen to a subject until the connection is lost or dropped.

        Raises:
            nats.errors.Error, OSError: it is lost.
        """

        async def deliver(message: Msg) -> None:
            if not self.lost.is_set():
                receive(message.data)

        await self._client.subscribe(
            subject,
            cb=deliver,
            pending_msgs_limit=RECEIVE_MESSAGES,
            pending_bytes_limit=RECEIVE_BYTES,
        )
        _raise_if_cancelled()

    async def confirm(self, timeout: int) -> None:
        """Wait until NATS has all that was published before.

        Raises:
            nats.errors.Error, OSError: it is lost, or did not answer within ``timeout`` seconds;
                it must be dropped then.
        """
        await self._client.flush(timeout)

    def drop(self) -> None:
        """Be rid of it now, and of whatever waits for it. May be called twice."""
        self.lost.set()
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())

    async def _close(self) -> None:
        try:
            with contextlib.suppress(nats.errors.Error, OSError):
                await asyncio.wait_for(self._client.close(), CLOSE_TIMEOUT)
        finally:
            # Closing waits for a link that takes nothing, as long as the kernel does.
            writer = getattr(getattr(self._client, "_transport", None), "_io_writer", None)
            if writer is not None:
                writer.transport.abort()
