"""Frames and messages of an open WebSocket connection, by websockets' Sans-I/O `Protocol`.

Bytes come in and messages go to the session; pongs, closes and errors come out as bytes. Video
does not pass here on its way out: its frames have their headers already, see `workers.window`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SEND_EOF, Protocol, Side, State

from workers.errors import PeerError, close_reason
from workers.table import Column

__all__ = ["WebSocket", "plain_close"]

# One line per connection from the library would drown the worker's own.
_quiet = logging.getLogger("workers.websocket.protocol")
_quiet.setLevel(logging.CRITICAL)

_EMPTY_CLOSE: Final = b"\x88\x00"
_CLOSE_1000: Final = b"\x88\x02\x03\xe8"
_HEADER: Final = 6
"""Bytes before the payload of a short masked frame (RFC 6455, section 5.2)."""


def plain_close(data: bytes) -> bytes | None:
    """What answers a Close frame from a peer that has sent no other frame: most viewers do not.

    It saves them a `WebSocket`, which would answer the same. None when ``data`` is anything but
    one whole Close frame that has no reason, and one of the usual codes or none.
    """
    if data[:2] == b"\x88\x80" and len(data) == _HEADER:
        return _CLOSE_1000
    if data[:2] == b"\x88\x82" and len(data) == _HEADER + 2:
        code = int.from_bytes(data[_HEADER:]) ^ int.from_bytes(data[2:4])
        if code in (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY):
            return b"\x88\x02" + code.to_bytes(2)
    return None


class WebSocket:
    """See the module."""

    __slots__ = ("_parts", "_protocol")

    def __init__(self, limit: int) -> None:
        """The handshake is done.

        Args:
            limit: bytes of a message at most.
        """
        self._protocol = Protocol(Side.SERVER, max_size=limit, logger=_quiet)
        # One buffer: a list would let tiny fragments cost more than their bytes.
        self._parts: bytearray | None = None

    @property
    def open(self) -> bool:
        """Whether nobody has begun to close."""
        return self._protocol.state is State.OPEN

    @property
    def error(self) -> Exception | None:
        """How the peer broke the protocol."""
        error = self._protocol.parser_exc
        return None if isinstance(error, EOFError) else error

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Take bytes from the peer; the messages that are whole now.

        Raises:
            PeerError: when the peer sends text.
        """
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            message = self._message(event)
            if message is not None:
                yield message

    def _message(self, frame: Frame) -> bytes | None:
        if frame.opcode is Opcode.TEXT:
            raise PeerError(
                CloseCode.UNSUPPORTED_DATA,
                "messages here are binary: msgpack, not text",
                Column.REFUSED_PROTOCOL,
            )
        if frame.opcode is Opcode.BINARY and frame.fin:
            return bytes(frame.data)
        if frame.opcode is Opcode.BINARY:
            self._parts = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._parts is not None:
            self._parts += frame.data
            if frame.fin:
                message, self._parts = bytes(self._parts), None
                return message
        return None

    def receive_eof(self) -> None:
        """The peer finished."""
        if not self._protocol.eof_sent:
            self._protocol.receive_eof()

    def allow(self, size: int) -> None:
        """Take messages of up to ``size`` bytes from now on."""
        self._protocol.max_message_size = size

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self._protocol.send_ping(b"")

    def close(self, code: CloseCode, reason: str) -> None:
        """Begin the closing handshake."""
        self._protocol.send_close(code, close_reason(reason))

    def to_send(self) -> Iterator[bytes]:
        """What the peer is to be sent; at the end nothing, which stands for FIN."""
        for data in self._protocol.data_to_send():
            if data == SEND_EOF:
                yield b""
            else:
                yield _CLOSE_1000 if data == _EMPTY_CLOSE else data

    def release(self) -> None:
        """Let go of it; nothing comes or goes any more."""
        # The protocol and its parser refer to each other: without this they are garbage to find.
        self._protocol.parser.close()
