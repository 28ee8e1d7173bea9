"""What a viewer sends: its request, and messages of at most 125 bytes. Pure."""

from __future__ import annotations

import os
from typing import Any, Final

import msgpack

__all__ = ["BINARY", "CLOSE", "PING", "PONG", "client_frame", "message", "request"]

BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA


def request(path: str, host: str, headers: tuple[str, ...] = ()) -> bytes:
    """The request that opens a WebSocket."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: bG9hZC10ZXN0LXZpZXdlcg==",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame of at most 125 bytes."""
    assert len(payload) < 126
    key = os.urandom(4)
    masked = bytes(byte ^ key[index & 3] for index, byte in enumerate(payload))
    return bytes((0x80 | opcode, 0x80 | len(payload))) + key + masked


def message(**fields: Any) -> bytes:
    """A control message, ready to send."""
    return client_frame(BINARY, msgpack.packb(fields))
