"""The publishing endpoint of a relay, played by a test step by step over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Self

import msgpack
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from bus.frame import Frame, decode

__all__ = ["Guest", "RelayServer"]


class Guest:
    """One publisher's connection, as the relay sees it."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    @property
    def request(self) -> Request:
        """The publisher's handshake."""
        assert self.socket.request is not None
        return self.socket.request

    async def receive(self) -> dict[str, Any] | Frame:
        """The next message, whatever it is."""
        data = await self.socket.recv()
        assert isinstance(data, bytes)
        value = msgpack.unpackb(data)
        return value if isinstance(value, dict) else decode(data)

    async def control(self) -> dict[str, Any]:
        """The next message, which must be a map."""
        message = await self.receive()
        assert isinstance(message, dict)
        return message

    async def frame(self) -> Frame:
        """The next message, which must be a frame."""
        message = await self.receive()
        assert isinstance(message, Frame)
        return message

    async def send(self, **message: Any) -> None:
        """Send a map."""
        await self.socket.send(msgpack.packb(message))

    async def welcome(self) -> dict[str, Any]:
        """Take the hello, answer ok; returns the hello."""
        hello = await self.control()
        await self.send(type="ok", stream="cam", epoch=1)
        return hello

    def vanish(self) -> None:
        """End the connection without a word."""
        self.socket.transport.abort()

    def pause(self) -> None:
        """Read nothing more: what is sent from now on fills the network."""
        self.socket.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self.socket.transport.resume_reading()


class RelayServer:
    """Listens, and hands each publisher to the test.

    Args:
        port: 0 chooses one.
        refuse: an HTTP status to refuse all handshakes with.
    """

    def __init__(self, port: int = 0, refuse: HTTPStatus | None = None) -> None:
        self._wanted_port = port
        self._refuse = refuse
        self._guests: asyncio.Queue[Guest] = asyncio.Queue()
        self._server: Server | None = None
        self.port = port

    async def accept(self) -> Guest:
        """The next publisher that connected."""
        return await self._guests.get()

    async def __aenter__(self) -> Self:
        check: Callable[[ServerConnection, Request], Response | None] = self._check
        self._server = await serve(
            self._serve, "127.0.0.1", self._wanted_port, process_request=check, close_timeout=1
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The publishing endpoint of stream ``cam``."""
        return f"ws://127.0.0.1:{self.port}/publish/cam"

    def _check(self, socket: ServerConnection, request: Request) -> Response | None:
        return socket.respond(self._refuse, "refused\n") if self._refuse else None

    async def _serve(self, socket: ServerConnection) -> None:
        self._guests.put_nowait(Guest(socket))
        await socket.wait_closed()
