"""Publishes over a WebSocket to a relay elsewhere, and reconnects by itself.

Two threads meet here. The pump's thread calls `open`, `write`, `wait_ready` and reads
`key_requested`; everything else runs in the event loop. They share `_backlog` and a few
flags under `_lock`, held for moments only; `_wake` tells the loop that there is work.

What to send is `Backlog`'s decision, when to connect again `ReconnectPolicy`'s; one
connection's dialogue is `session`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from relay.publish.errors import Refused
from relay.publish.model import MediaFrame, StreamInfo
from relay.publish.sinks.backlog import Backlog
from relay.publish.sinks.failures import failure_of
from relay.publish.sinks.race import race
from relay.publish.sinks.reconnect import Failure, ReconnectPolicy, Stop
from relay.publish.sinks.session import Session
from relay.publish.sinks.socket_options import tune
from relay.publish.sinks.url import is_loopback, public_url

__all__ = ["WebSocketSink"]

_DRAIN_S = 5.0  # for the last frames of a file
_CLOSE_S = 2.0  # for the closing handshake
_PING_INTERVAL_S, _PING_TIMEOUT_S = 10.0, 20.0
_WRITE_LIMIT = 64 * 1024  # bytes in user space; more would only be older pictures
_MAX_INCOMING = 64 * 1024  # the relay sends small control messages


class WebSocketSink:
    """See `Sink` in `model`. Make it inside the event loop that will `run` it.

    Args:
        url: the publishing endpoint, from `url.publish_url`.
        token: sent as ``Authorization: Bearer``; None for none.
        notice: takes a line for the user.
        clock: monotonic seconds.
        draw: uniform numbers in [0, 1), for jitter.
        backlog: the queue between the pump and the socket.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        notice: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        backlog: Backlog | None = None,
    ) -> None:
        self._url = url
        self._name = public_url(url)
        self._token = token
        self._notice = notice
        self._clock = clock
        self._policy = ReconnectPolicy(draw)
        self._backlog = backlog or Backlog()
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._opened = asyncio.Event()
        self._ending = asyncio.Event()
        self._done = asyncio.Event()
        self._info: StreamInfo | None = None
        self._key_wanted = False  # the relay asked
        self._drain = False
        self._accepted = 0
        self._seq = 0
        self._trouble = ""

    # -- the pump's side ---------------------------------------------------------------

    @property
    def key_requested(self) -> bool:
        """Whether the relay asked for a key frame, or the next run has to begin with one."""
        with self._lock:
            return self._key_wanted or self._backlog.needs_key

    @property
    def dropped(self) -> int:
        """See `Sink.dropped`."""
        return self._backlog.dropped

    @property
    def accepted(self) -> bool:
        """Whether the relay has taken the stream, be it connected now or not."""
        return self._accepted > 0

    @property
    def reconnects(self) -> int:
        """See `Sink.reconnects`."""
        return max(self._accepted - 1, 0)

    @property
    def trouble(self) -> str:
        """What the last connection that failed died of, in words; empty while none has."""
        return self._trouble

    def open(self, info: StreamInfo) -> None:
        """See `Sink.open`. Later changes travel with their frames."""
        with self._lock:
            self._info = info
        self._call(self._opened.set)

    def wait_ready(self) -> None:
        """See `Sink.wait_ready`."""
        self._ready.wait()

    def write(self, frame: MediaFrame) -> None:
        """See `Sink.write`."""
        with self._lock:
            if frame.key:
                self._key_wanted = False
            available = self._backlog.push(frame)
        if available:
            self._call(self._wake.set)

    def abort(self) -> None:
        """See `Sink.abort`."""
        self._ready.set()

    def _call(self, action: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: so has the stream
            self._loop.call_soon_threadsafe(action)

    # -- the event loop's side ---------------------------------------------------------

    async def run(self) -> None:
        """See `Sink.run`."""
        try:
            await race(self._opened.wait(), self._ending.wait())
            while not self._ending.is_set():
                failure = await self._connection()
                if failure is None or self._ending.is_set():
                    return
                self._trouble = failure.reason
                answer = self._policy.lost(failure, self._clock())
                if isinstance(answer, Stop):
                    raise Refused(f"{self._name}: {answer.reason}")
                self._notice(
                    f"{self._name}: {failure.reason}; trying again in {answer.delay_s:.1f} s"
                )
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), answer.delay_s)
        finally:
            with self._lock:
                self._backlog.close()
            self._ready.set()
            self._done.set()

    async def finish(self, *, drain: bool) -> None:
        """See `Sink.finish`."""
        self._drain = drain
        self._ending.set()
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), _DRAIN_S if drain else _CLOSE_S * 2)

    async def _connection(self) -> Failure | None:
        """One connection from handshake to end; None when the stream ended as it should."""
        try:
            socket = await race(self._connect(), self._ending.wait())
            if socket is None:
                return None
            async with socket:
                tune(socket.transport)
                await self._serve(Session(socket))
        except Exception as exc:
            # Whatever a connection dies of concerns this connection only.
            return failure_of(exc)
        finally:
            with self._lock:
                self._backlog.close()
                self._key_wanted = False
        return None

    async def _connect(self) -> ClientConnection:
        options: dict[str, Any] = {}
        if is_loopback(self._url):
            options["proxy"] = None
        if self._token is not None:
            options["additional_headers"] = {"Authorization": f"Bearer {self._token}"}
        return await connect(
            self._url,
            compression=None,
            ping_interval=_PING_INTERVAL_S,
            ping_timeout=_PING_TIMEOUT_S,
            close_timeout=_CLOSE_S,
            max_size=_MAX_INCOMING,
            write_limit=_WRITE_LIMIT,
            **options,
        )

    async def _serve(self, session: Session) -> None:
        assert self._info is not None  # `run` waits for `open`
        await race(session.hello(self._info), self._ending.wait())
        if self._ending.is_set():
            return
        self._accepted += 1
        self._policy.accepted(self._clock())
        self._notice(f"connected to {self._name}")
        with self._lock:
            self._backlog.open()
        self._ready.set()
        await race(self._send(session), session.listen(self._want_key))

    async def _send(self, session: Session) -> None:
        """Send what comes until the stream ends."""
        while True:
            self._wake.clear()
            if self._ending.is_set() and not self._drain:
                break
            with self._lock:
                frame = self._backlog.pop()
            if frame is not None:
                await session.frame(frame, self._seq)
                self._seq += 1
            elif self._ending.is_set():
                break
            else:
                await self._wake.wait()
        await session.end()

    def _want_key(self) -> None:
        with self._lock:
            self._key_wanted = True
