"""One synthetic viewer: connects, does what the shipped player does on the network, comes back.

Its picture and the rules about it are `watching`'s; this is its life.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.load.counts import NO_ANSWER, NO_DESCRIPTOR, NO_PORT, Counts
from relay.load.known import KnownFrame, KnownFrames
from relay.load.link import Link, NullListener
from relay.load.mix import Kind
from relay.load.retry import retry_delay
from relay.load.watching import Watching
from relay.load.wire import request

__all__ = ["Endpoint", "Viewer", "dial", "now_us"]

_REPORT_TICKS: Final = 5
_SILENT_US: Final = 15_000_000
_HANDSHAKE_LIMIT: Final = 10.0
_HALF_OPEN_TIME: Final = 30.0
_HIDDEN_TICKS: Final = 5
_SLOW_RATE: Final = 125_000.0
_SMALL_WINDOW: Final = 16_384


def now_us() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How the relay is reached.

    Attributes:
        addresses: of its host, as `socket.getaddrinfo` gives them.
        host: name and port, for the request.
        name: name for TLS.
        tls: None: plain.
        headers: of the request.
    """

    addresses: Sequence[tuple[Any, ...]]
    host: str
    name: str
    tls: ssl.SSLContext | None
    headers: tuple[str, ...]


async def dial(endpoint: Endpoint, link: Link, *, small: bool = False) -> None:
    """Connect.

    Args:
        small: whether the window for what comes is small.

    Raises:
        OSError: when the relay cannot be reached.
    """
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, address = endpoint.addresses[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_WINDOW)
        await loop.sock_connect(sock, address)
        name = endpoint.name if endpoint.tls is not None else None
        await loop.create_connection(
            lambda: link, sock=sock, ssl=endpoint.tls, server_hostname=name
        )
    except BaseException:
        sock.close()
        raise


class Viewer:
    """See the module. It tells its counts; nobody is told anything else.

    Args:
        kind: how it behaves.
        endpoint: where it connects.
        path: of its stream.
        known: frames of its stream.
        counts: where it counts.
        watching: what it sees.

    Attributes:
        kind: how it behaves.
        connected: whether its handshake is done.
    """

    def __init__(
        self,
        kind: Kind,
        endpoint: Endpoint,
        path: str,
        known: KnownFrames,
        counts: Counts,
        watching: Watching,
    ) -> None:
        self.kind = kind
        self.connected = False
        self._endpoint = endpoint
        self._path = path
        self._known = known
        self._counts = counts
        self._watching = watching
        self._link: Link | None = None
        self._attempt = 0
        self._attempted = 0.0
        self._ticks = random.randrange(_REPORT_TICKS)
        self._coming: asyncio.Task[None] | None = None
        self._staying = True

    # Coming.

    def come(self, delay: float = 0.0) -> None:
        """Connect, after some seconds; a viewer that left comes anew."""
        self._staying = True
        self._coming = asyncio.get_running_loop().create_task(self._connect(delay))

    async def _connect(self, delay: float) -> None:
        if delay:
            await asyncio.sleep(delay)
        self._watching.asks(now_us())
        self._attempted = time.monotonic()
        endpoint = self._endpoint
        asked = request(self._path, endpoint.host, endpoint.headers)
        if self.kind is Kind.HALF_OPEN and random.random() < 0.5:
            asked = asked[: len(asked) // 2]
        link = Link(asked, self._known, self, _SLOW_RATE if self.kind is Kind.SLOW else 0.0)
        small = self.kind in (Kind.SLOW, Kind.HALF_OPEN)
        self._link = link
        try:
            async with asyncio.timeout(_HANDSHAKE_LIMIT):
                await dial(self._endpoint, link, small=small)
        except (OSError, TimeoutError) as exc:
            if isinstance(exc, ssl.SSLError):
                why = f"TLS: {exc.reason or exc}"
            else:
                why = _WORDS.get(exc.errno or 0) or exc.strerror or "no answer in time"
            self._link = None
            self._counts.trouble("refused", why)
            self._return(1006)
            return
        if self.kind is Kind.HALF_OPEN:
            link.pause_reading()

    def _return(self, code: int) -> None:
        delay = retry_delay(code, self._attempt, random.random())
        self._attempt += 1
        if self._staying and delay is not None:
            self.come(delay)

    # What the connection tells.

    def opened(self) -> None:
        self.connected = True
        self._counts.connected += 1
        if self.kind is not Kind.HALF_OPEN:
            self._ping()

    def arrived(self, size: int) -> None:
        self._counts.bytes += size
        self._watching.heard_us = now_us()

    def frame(self, known: KnownFrame, good: bool, now_us: int) -> None:
        self._attempt = 0
        self._watching.frame(known, good, now_us)

    def said(self, value: dict[str, Any]) -> None:
        match value.get("type"):
            case "hello":
                self._watching.hello(value, now_us())
            case "ended":
                self._watching.ended()
            case "ping":
                assert self._link is not None
                self._link.send(type="pong", t0=value.get("t0"), t1=now_us())
            case "pong":
                self._watching.pong(value, now_us())

    def refused(self, answer: str) -> None:
        self._counts.trouble("refused", answer)

    def broke_rules(self, why: str) -> None:
        self._counts.trouble("invalid", why)

    def gone(self, opened: bool, code: int, reason: str) -> None:
        if self.connected:
            self._counts.connected -= 1
        self.connected = False
        self._link = None
        if not self._staying:
            return
        if opened and self.kind is not Kind.HALF_OPEN:
            kind = "refused" if code in (1008, 1013) else "lost"
            self._counts.trouble(kind, f"{code} {reason}")
            self._watching.loses()
        self._return(code)

    # Time.

    def tick(self) -> None:
        """Once a second: what the player's timers do."""
        link = self._link
        if link is None:
            return
        self._ticks += 1
        if self.kind is Kind.HALF_OPEN:
            if time.monotonic() - self._attempted > _HALF_OPEN_TIME:
                link.abort()
            return
        if not self.connected:
            if time.monotonic() - self._attempted > _HANDSHAKE_LIMIT + 1.0:
                self.refused(NO_ANSWER)
                link.abort()
            return
        now = now_us()
        if self.kind is Kind.WATCHING:
            self._watching.look(now)
        if self.kind is Kind.HIDDEN and self._ticks % _HIDDEN_TICKS == 0:
            self._flip(link, now)
        if self._ticks % _REPORT_TICKS == 0:
            self._ping()
            received = self._watching.received
            link.send(type="stats", decoded=received, dropped=0, latency_ms=None)
        if now - self._watching.heard_us > _SILENT_US:
            link.abort()

    def _flip(self, link: Link, now: int) -> None:
        if self._watching.hidden:
            self._watching.show(now)
            link.send(type="resume")
        else:
            self._watching.hide(now)
            link.send(type="pause")

    def _ping(self) -> None:
        if self._link is not None:
            self._link.send(type="ping", t0=now_us())

    # Leaving.

    def leave(self, way: Callable[[Link], None] = Link.close) -> Link | None:
        """Go, in one of the ways of `departures`; the connection that is left behind."""
        self._staying = False
        self._watching.leaves()
        if self._coming is not None and not self._coming.done():
            self._coming.cancel()
        link, self._link = self._link, None
        if self.connected:
            self.connected = False
            self._counts.connected -= 1
        if link is not None:
            link.listener = NullListener()
            way(link)
        return link

    def end(self) -> None:
        """The test is over: say what is not over yet."""
        self._watching.end(now_us())


_WORDS: Final = {
    errno.EMFILE: NO_DESCRIPTOR,
    errno.ENFILE: NO_DESCRIPTOR,
    errno.EADDRNOTAVAIL: NO_PORT,
}
