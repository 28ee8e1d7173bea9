"""One viewer's connection: the handshake, bytes in and messages out, and the ways of leaving.

Knows nothing of what the messages mean.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Final, Protocol

import msgpack

from relay.load.known import KnownFrame, KnownFrames
from relay.load.reader import FrameReader, WireError
from relay.load.wire import BINARY, CLOSE, PING, PONG, client_frame, message
from workers.acceptor import LINGER_RESET

__all__ = ["Link", "Listener", "NullListener"]

_BUFFER: Final = memoryview(bytearray(1 << 20))
"""Shared by all viewers of a process: what is read is used before anybody reads again."""
_GOING_AWAY: Final = 1001


class Listener(Protocol):
    """Whom a connection tells what happens on it."""

    def opened(self) -> None: ...
    def arrived(self, size: int) -> None: ...
    def frame(self, known: KnownFrame, good: bool, now_us: int) -> None: ...
    def said(self, value: dict[str, Any]) -> None: ...
    def refused(self, answer: str) -> None: ...
    def broke_rules(self, why: str) -> None: ...
    def gone(self, opened: bool, code: int, reason: str) -> None: ...


class NullListener:
    """Listens for a connection that nobody watches any more."""

    def opened(self) -> None: ...
    def arrived(self, size: int) -> None: ...
    def frame(self, known: KnownFrame, good: bool, now_us: int) -> None: ...
    def said(self, value: dict[str, Any]) -> None: ...
    def refused(self, answer: str) -> None: ...
    def broke_rules(self, why: str) -> None: ...
    def gone(self, opened: bool, code: int, reason: str) -> None: ...


class Link(asyncio.BufferedProtocol):
    """See the module.

    Args:
        request: sent first.
        known: frames of the stream.
        listener: told of everything, at last that it is ``gone``.
        rate: bytes that are read in a second; 0: all there are.

    Attributes:
        listener: see above; another may take its place.
        over: whether the connection has been, and is no more.
    """

    def __init__(
        self, request: bytes, known: KnownFrames, listener: Listener, rate: float = 0.0
    ) -> None:
        self._request = request
        self.listener = listener
        self._rate = rate
        self._reader = FrameReader(known, self._frame, self._control)
        self._buffer = _BUFFER[: int(rate / 8)] if rate else _BUFFER
        self._head: bytearray | None = bytearray()
        self._transport: asyncio.Transport | None = None
        self._close: tuple[int, str] | None = None
        self._closing = False
        self.over = False
        self._now_us = 0
        self._resuming: asyncio.TimerHandle | None = None

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's has no base class
        self.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._now_us = time.time_ns() // 1000
        self.listener.arrived(nbytes)
        if self._rate:
            self.pause_reading()
            loop = asyncio.get_running_loop()
            self._resuming = loop.call_later(nbytes / self._rate, self._resume_reading)
        try:
            if self._head is None:
                self._reader.feed(self._buffer[:nbytes])
            else:
                self._answer(bytes(self._buffer[:nbytes]))
        except WireError as exc:
            self.listener.broke_rules(str(exc))
            self.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        if self._resuming is not None:
            self._resuming.cancel()
        code, reason = self._close or (1006, "the connection broke")
        self.listener.gone(self._head is None, code, reason)

    # What comes.

    def _answer(self, data: bytes) -> None:
        assert self._head is not None
        self._head += data
        head, found, rest = bytes(self._head).partition(b"\r\n\r\n")
        if not found:
            return
        status = head.split(b"\r\n")[0].decode("latin-1")
        if " 101" not in status:
            self.listener.refused(status)
            self.abort()
            return
        self._head = None
        self.listener.opened()
        self._reader.feed(memoryview(rest))

    def _frame(self, known: KnownFrame, good: bool) -> None:
        self.listener.frame(known, good, self._now_us)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == BINARY:
            try:
                value = msgpack.unpackb(payload)
            except Exception:
                # msgpack documents no closed set of errors for malformed input.
                value = None
            if not isinstance(value, dict):
                raise WireError("a message that is neither a frame nor a map")
            self.listener.said(value)
        elif opcode == PING:
            self.write(client_frame(PONG, payload))
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2]) if payload else 1005
            self._close = code, payload[2:].decode("utf-8", "replace")
            if not self._closing:
                self.write(client_frame(CLOSE, payload[:2]))

    # What goes.

    def send(self, **fields: Any) -> None:
        """Send a message."""
        self.write(message(**fields))

    def write(self, data: bytes) -> None:
        """Send bytes, if the connection still takes any."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # Ways of stopping.

    def pause_reading(self) -> None:
        """Take nothing any more: what comes fills the kernel's buffer."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Say that the tab is closed; the relay answers, and ends the connection."""
        self._closing = True
        self.write(client_frame(CLOSE, _GOING_AWAY.to_bytes(2)))

    def abort(self) -> None:
        """Be gone: with what is unread, if anything, as a reset."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Be gone as a reset."""
        if self._transport is not None and not self._transport.is_closing():
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            self._transport.abort()
