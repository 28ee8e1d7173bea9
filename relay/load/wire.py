"""WebSocket bytes as a viewer sends and reads them. Pure, and cheap: payloads are not copied.

The relay sends each message as one unmasked WebSocket frame. Of a video frame the reader
looks at the first bytes only and counts the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import msgpack

__all__ = [
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "FrameReader",
    "WireError",
    "client_frame",
    "message",
    "request",
]

BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
_FRAME_MARK: Final = 0x95
_HEAD: Final = 64
"""Bytes that hold both headers of a frame: 10 of WebSocket, 1 + 4 * 9 + 5 of msgpack."""
_CONTROL_LIMIT: Final = 65_536
_WIDTHS: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}


class WireError(Exception):
    """The relay sent what a viewer does not understand."""


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


class FrameReader:
    """Takes apart what one connection receives.

    Args:
        frame: called with seq, capture_us and flags when a frame is complete.
        control: called with opcode and payload of everything else.
    """

    __slots__ = ("_carry", "_control", "_frame", "_left", "_pending")

    def __init__(
        self, frame: Callable[[int, int, int], None], control: Callable[[int, bytes], None]
    ) -> None:
        self._frame = frame
        self._control = control
        self._carry = bytearray()
        self._left = 0
        self._pending: tuple[int, int, int] | None = None

    def feed(self, data: memoryview) -> None:
        """Take bytes; nothing of ``data`` is kept.

        Raises:
            WireError: when they are no messages.
        """
        at, size = 0, len(data)
        if self._left:
            at = min(self._left, size)
            self._left -= at
            if self._left:
                return
            self._complete()
        if self._carry:
            self._carry += data[at:]
            joined = bytes(self._carry)
            self._carry.clear()
            data, at, size = memoryview(joined), 0, len(joined)
        while at < size:
            used = self._one(data, at, size)
            if not used:
                self._carry += data[at:]
                return
            at += used

    def _one(self, data: memoryview, at: int, size: int) -> int:
        """Bytes that a frame takes of what is there; 0 when more are needed to tell."""
        available = size - at
        if available < 2:
            return 0
        length, start = data[at + 1], at + 2
        if data[at] & 0xF0 != 0x80 or length > 127:
            raise WireError(f"a frame that begins with {bytes(data[at : at + 2]).hex()}")
        if length >= 126:
            start += 2 if length == 126 else 8
            if size < start:
                return 0
            length = int.from_bytes(data[at + 2 : start])
        total = start - at + length
        opcode = data[at] & 0x0F
        if available < min(total, _HEAD):
            return 0
        if opcode != BINARY or data[start] != _FRAME_MARK:
            if total > _CONTROL_LIMIT:
                raise WireError(f"a control message of {total} bytes")
            if available < total:
                return 0
            self._control(opcode, bytes(data[start : at + total]))
            return total
        self._pending = _head(data, start + 1)
        if available < total:
            self._left = total - available
            return available
        self._complete()
        return total

    def _complete(self) -> None:
        assert self._pending is not None
        self._frame(*self._pending)
        self._pending = None


def _head(data: memoryview, at: int) -> tuple[int, int, int]:
    values = []
    for _ in range(4):
        mark = data[at]
        at += 1
        width = _WIDTHS.get(mark)
        if width is None:
            if 0x80 <= mark < 0xE0:
                raise WireError(f"a frame whose numbers hold {mark:#x}")
            values.append(mark if mark < 0x80 else mark - 256)
            continue
        values.append(int.from_bytes(data[at : at + width], signed=mark >= 0xD0))
        at += width
    return values[0], values[2], values[3]


def message(**fields: Any) -> bytes:
    """A control message, ready to send."""
    return client_frame(BINARY, msgpack.packb(fields))
