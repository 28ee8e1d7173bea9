"""The WebSocket bytes that a browser sends and understands, written down independently.

The product speaks through a library; what it puts on the wire is read here without it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Any, Final

import msgpack

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "MessageReader",
    "WireError",
    "close_code",
    "close_frame",
    "frame",
    "message",
    "request",
    "upgraded",
]

CONTINUATION: Final = 0x0
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
_KNOWN: Final = frozenset({BINARY, CLOSE, PING, PONG})
_NONCE: Final = base64.b64encode(b"sixteen bytes ok").decode()
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPT: Final = base64.b64encode(hashlib.sha1((_NONCE + _GUID).encode()).digest())


class WireError(Exception):
    """The relay sent what RFC 6455 or the project's wire format does not allow."""


def request(path: str, host: str, *headers: str) -> bytes:
    """A handshake's request.

    Args:
        path: with the query.
        host: ``address:port``.
        *headers: further header lines.
    """
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {_NONCE}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Extensions: permessage-deflate",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def upgraded(head: bytes) -> bool:
    """Whether a response's header accepts the handshake.

    Raises:
        WireError: when it accepts in a wrong way.
    """
    status, *lines = head.split(b"\r\n")
    if not status.startswith(b"HTTP/1.1 101"):
        return False
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines if line)
    }
    if fields.get(b"sec-websocket-accept") != _ACCEPT:
        raise WireError(f"wrong Sec-WebSocket-Accept: {head!r}")
    if b"sec-websocket-extensions" in fields:
        raise WireError("frames are not to be compressed")
    return True


def frame(opcode: int, payload: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    """One client frame."""
    head = bytes([(0x80 if fin else 0) | opcode])
    length, bit = len(payload), 0x80 if mask else 0
    if length < 126:
        head += bytes([bit | length])
    elif length < 65_536:
        head += bytes([bit | 126]) + length.to_bytes(2)
    else:
        head += bytes([bit | 127]) + length.to_bytes(8)
    if not mask:
        return head + payload
    key = os.urandom(4)
    stream = (key * (length // 4 + 1))[:length]
    masked = int.from_bytes(payload) ^ int.from_bytes(stream)
    return head + key + masked.to_bytes(length)


def message(**fields: Any) -> bytes:
    """A control message of the project, as one binary frame."""
    return frame(BINARY, msgpack.packb(fields))


def close_frame(code: int | None = 1001) -> bytes:
    """A Close frame; None leaves out the code."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2))


def close_code(payload: bytes) -> tuple[int, str]:
    """Code and reason of a Close frame's payload; 1005 stands for none, as in browsers."""
    if not payload:
        return 1005, ""
    return int.from_bytes(payload[:2]), payload[2:].decode()


class MessageReader:
    """Takes server frames apart; the relay sends every message in one frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Opcodes and payloads that ``data`` completes.

        Raises:
            WireError: for what a server may not send.
        """
        buffer = self._buffer
        buffer += data
        found = []
        at, size = 0, len(buffer)
        while size - at >= 2:
            first, length = buffer[at], buffer[at + 1]
            opcode = first & 0x0F
            if first & 0xF0 != 0x80 or opcode not in _KNOWN or length & 0x80:
                raise WireError(f"a server frame that begins with {buffer[at : at + 2].hex()}")
            start = at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if size < start:
                    break
                length = int.from_bytes(buffer[at + 2 : start])
            if size - start < length:
                break
            found.append((opcode, bytes(memoryview(buffer)[start : start + length])))
            at = start + length
        del buffer[:at]
        return found
