"""A client that does to a socket exactly what a test says, and nothing by itself."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

from tests.e2e import wire
from tests.e2e.viewers import ABNORMAL, Address
from tests.e2e.wire import CLOSE, MessageReader, close_code, frame

__all__ = ["HELLO", "RawClient", "ending"]

HELLO: Final = {"type": "hello", "codec": "mjpeg", "width": 4, "height": 4, "fps": 5, "init": b""}
"""What a publisher says first."""
_CHUNK: Final = 65_536
_LIMIT: Final = 60.0


class RawClient:
    """A socket under the test's full control.

    Attributes:
        sock: the socket, non-blocking.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def connect(
        cls, address: Address, *, receive_buffer: int = 0, source: str = ""
    ) -> RawClient:
        """Connect.

        Args:
            address: the relay's.
            source: an address of this host to connect from.
            receive_buffer: SO_RCVBUF, set before the window is announced; 0: the default.
        """
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            if source:
                sock.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        await self._loop.sock_sendall(self.sock, data)

    async def receive(self, size: int = _CHUNK) -> bytes:
        """What is there, b"" at the end; waits for the first byte."""
        async with asyncio.timeout(_LIMIT):
            return await self._loop.sock_recv(self.sock, size)

    async def head(self) -> tuple[bytes, bytes]:
        """A response's header, and what came behind it."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = await self.receive()
            if not chunk:
                return data, b""
            data += chunk
        head, _, rest = data.partition(b"\r\n\r\n")
        return head, rest

    async def open(self, path: str, *headers: str) -> bytes:
        """Do the WebSocket handshake; what came behind it."""
        host, port = self.sock.getpeername()
        await self.send(wire.request(path, f"{host}:{port}", *headers))
        head, rest = await self.head()
        assert wire.upgraded(head), head
        return rest

    async def to_the_end(self) -> bytes:
        """Everything until the relay's FIN.

        Raises:
            ConnectionResetError: when there is none but a reset.
        """
        data = bytearray()
        while chunk := await self.receive():
            data += chunk
        return bytes(data)

    async def messages_to_the_end(self, behind: bytes = b"") -> list[tuple[int, bytes]]:
        """All frames until the relay's FIN."""
        return MessageReader().feed(behind + await self.to_the_end())

    def reset(self) -> None:
        """RST, whatever was going on."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Close: FIN, or RST when there is unread data."""
        self.sock.close()


async def ending(address: Address, path: str, sent: bytes, *headers: str) -> tuple[int, str]:
    """Open, send, and read to the end: the Close that came."""
    client = await RawClient.connect(address)
    reader = wire.MessageReader()
    try:
        found = reader.feed(await client.open(path, *headers))
        await client.send(sent)
        while not any(opcode == CLOSE for opcode, _ in found):
            data = await client.receive()
            if not data:
                return ABNORMAL, "hung up"
            found += reader.feed(data)
        payload = next(payload for opcode, payload in found if opcode == CLOSE)
        await client.send(frame(CLOSE, payload[:2]))
        # The relay finishes in order, whatever it was sent.
        await client.to_the_end()
        return close_code(payload)
    except ConnectionResetError:
        return ABNORMAL, "reset"
    finally:
        client.close()
