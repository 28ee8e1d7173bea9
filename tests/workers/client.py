"""A WebSocket peer on a plain blocking socket: websockets' ClientProtocol plus raw bytes.

Well-formed traffic goes through the protocol; whatever a real client would never send is
written with `Client.send`. Every wait has a watchdog, so a test that hangs says where.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import msgpack
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from bus.frame import Frame as Picture
from bus.frame import decode
from tests.workers.harness import WATCHDOG

__all__ = ["Client", "Ended", "masked", "upgrade_request"]

_CHUNK: Final = 1 << 16


class Ended(Exception):
    """The server finished (FIN) where a frame was expected."""


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame as a client sends it, also such as no client may send."""
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    length = len(payload)
    if length < 126:
        head += bytes((0x80 | length,))
    elif length < 65536:
        head += bytes((0x80 | 126,)) + length.to_bytes(2)
    else:
        head += bytes((0x80 | 127,)) + length.to_bytes(8)
    mask = os.urandom(4)
    key = int.from_bytes((mask * (length // 4 + 1))[:length])
    return head + mask + (int.from_bytes(payload) ^ key).to_bytes(length)


def upgrade_request(path: str, *, without: str = "", method: str = "GET", **headers: str) -> bytes:
    """The bytes of a handshake.

    Args:
        path: request target.
        without: a header to leave out.
        method: request method.
        **headers: others to add or replace, with ``_`` for ``-``.
    """
    fields = {
        "Host": "relay.test",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    fields.pop(without, None)
    for name, value in headers.items():
        fields[name.replace("_", "-")] = value
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


class Client:
    """One connection.

    Attributes:
        sock: the socket.
    """

    def __init__(self, port: int, *, receive_buffer: int = 0, source: str = "") -> None:
        """Connect.

        Args:
            port: on 127.0.0.1.
            receive_buffer: bytes of SO_RCVBUF; 0 leaves the kernel's choice.
            source: own address, e.g. 127.0.0.2.
        """
        self.sock = socket.socket()
        try:
            if receive_buffer:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                self.sock.bind((source, 0))
            self.sock.settimeout(WATCHDOG)
            self.sock.connect(("127.0.0.1", port))
            # So that bytes sent one by one also arrive one by one.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.sock.close()
            raise
        self._protocol = ClientProtocol(parse_uri("ws://relay.test/"), max_size=None)
        self._frames: deque[Frame] = deque()
        self.response: Response | None = None

    # Raw bytes.

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.sock.sendall(data)

    def dribble(self, data: bytes) -> None:
        """Write bytes one by one."""
        for index in range(len(data)):
            self.sock.sendall(data[index : index + 1])

    def read_all(self) -> bytes:
        """Bytes until the server's FIN, past the protocol."""
        parts = []
        while part := self.sock.recv(_CHUNK):
            parts.append(part)
        return b"".join(parts)

    def read_available(self, wait: float) -> bytes:
        """Bytes that are there within ``wait`` seconds, for pacing; b"" also at the end."""
        readable, _, _ = select.select([self.sock], [], [], wait)
        return self.sock.recv(_CHUNK) if readable else b""

    # WebSocket.

    def upgrade(self, path: str, **headers: str) -> Client:
        """Do the handshake, which must succeed."""
        request = self._protocol.connect()
        request.path = path
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        self._protocol.send_request(request)
        self._flush()
        while self.response is None:
            self._read()
        assert self._protocol.handshake_exc is None, self._protocol.handshake_exc
        return self

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.sock.sendall(data)

    def _read(self) -> None:
        data = self.sock.recv(_CHUNK)
        if not data:
            raise Ended
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self.response = event
            elif isinstance(event, Frame):
                self._frames.append(event)
        assert self._protocol.parser_exc is None, self._protocol.parser_exc
        # Pongs and Close echoes; the server may be gone already.
        with contextlib.suppress(OSError):
            self._flush()

    def frame(self) -> Frame:
        """The next WebSocket frame; pings are answered and returned, too.

        Raises:
            Ended: at the server's FIN.
        """
        while not self._frames:
            self._read()
        frame = self._frames.popleft()
        assert frame.fin, "the relay does not fragment messages"
        return frame

    def binary(self) -> bytes:
        """Payload of the next message, passing over pings and pongs."""
        while (frame := self.frame()).opcode in (Opcode.PING, Opcode.PONG):
            pass
        assert frame.opcode is Opcode.BINARY, frame
        return bytes(frame.data)

    def message(self) -> dict[str, Any]:
        """The next message, which must be a map."""
        value = msgpack.unpackb(self.binary())
        assert isinstance(value, dict), value
        return value

    def expect(self, kind: str) -> dict[str, Any]:
        """The next message, which must be a map of this type."""
        value = self.message()
        assert value["type"] == kind, value
        return value

    def picture(self) -> Picture:
        """The next message, which must be a frame of the stream."""
        return decode(self.binary())

    def pictures(self, count: int) -> list[Picture]:
        """The next messages, which must be frames of the stream."""
        return [self.picture() for _ in range(count)]

    def everything(self) -> Iterator[Picture | dict[str, Any]]:
        """Messages as they come, each a frame or a map."""
        while True:
            data = self.binary()
            yield decode(data) if data[0] == 0x95 else msgpack.unpackb(data)

    def say(self, value: dict[str, Any] | list[Any]) -> None:
        """Send one msgpack value as a binary message."""
        self.send(masked(Opcode.BINARY, msgpack.packb(value)))

    # Leaving.

    def say_close(self, code: int | None = 1000, reason: bytes = b"") -> None:
        """Send a Close frame, without code for None."""
        payload = b"" if code is None else code.to_bytes(2) + reason
        self.send(masked(Opcode.CLOSE, payload))

    def read_close(self) -> tuple[int, str]:
        """Read to the server's Close frame; its code and reason."""
        while (frame := self.frame()).opcode is not Opcode.CLOSE:
            pass
        data = bytes(frame.data)
        return int.from_bytes(data[:2]), data[2:].decode()

    def expect_fin(self) -> None:
        """The server's FIN comes next, and no RST."""
        assert self.sock.recv(_CHUNK) == b""
        self.assert_no_reset()

    def assert_no_reset(self) -> None:
        """The kernel has seen no RST on this connection."""
        assert self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    def finish(self) -> None:
        """Send our FIN."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Send RST and be gone."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Be gone. May be called twice."""
        self.sock.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
