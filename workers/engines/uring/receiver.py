"""Receiving for connections whose bytes go out through the ring: one epoll, and no buffers.

A loop's transport is made for both directions. Here it would only read, and cost several
times what reading costs: a task, a future and a handful of callbacks for each connection. All
connections are watched by one epoll instead, which the loop watches, level-triggered.

The kernel forgets a descriptor that is closed only when nothing holds its socket any more, and
an operation of the ring may: a connection is taken out by name before it is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import sys
from typing import Any, Final

__all__ = ["Receiver", "ReceivingTransport"]

_CHUNK: Final = 64 << 10
"""Bytes of one read; a connection with more has its next turn after the others."""
_EVENTS: Final = 256
_READABLE: Final = 1
"""EPOLLIN; errors and hang-ups are told of in any case."""


class ReceivingTransport(asyncio.Transport):
    """A connection's socket. Whatever is written to it goes through its channel."""

    __slots__ = ("_closing", "_protocol", "_receiver", "sock")

    def __init__(self, receiver: Receiver, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        self.sock = sock
        self._receiver = receiver
        self._protocol = protocol
        self._closing = False

    def receive(self) -> None:
        """Take what has come."""
        try:
            data = self.sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._end(exc)
            return
        if data:
            self._protocol.data_received(data)
            return
        # There is no more to come, and epoll would say so for ever.
        self._receiver.forget(self.sock)
        if not self._protocol.eof_received():
            self.close()

    def lost(self, error: Exception | None) -> None:
        """Tell the protocol and close the socket: nothing is under way on it any more."""
        try:
            self._protocol.connection_lost(error)
        finally:
            self.sock.close()

    def _end(self, error: Exception | None = None) -> None:
        if not self._closing:
            self._closing = True
            self._receiver.end(self, error)

    # asyncio's interface, as far as a channel and its owner use it.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The ``socket``."""
        return self.sock if name == "socket" else default

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing

    def write_eof(self) -> None:
        """Close our direction."""
        # A peer that is gone already is told of in its own time.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close; nothing waits here."""
        self._end()

    def abort(self) -> None:
        """Close."""
        self._end()


class Receiver:
    """See the module."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = _new_epoll()
        self._transports: dict[int, ReceivingTransport] = {}
        # They end when no owner is in the middle of something.
        self._ended: list[tuple[ReceivingTransport, Exception | None]] = []
        self._receiving = False
        loop.add_reader(self._epoll.fileno(), self._ready)

    def attach(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        """Receive for ``protocol`` from now on."""
        try:
            self._epoll.register(sock, _READABLE)
        except OSError as exc:
            sock.close()
            protocol.connection_lost(exc)
            return
        transport = ReceivingTransport(self, sock, protocol)
        self._transports[sock.fileno()] = transport
        protocol.connection_made(transport)

    def forget(self, sock: socket.socket) -> None:
        """Watch a socket no more."""
        if self._transports.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)

    def end(self, transport: ReceivingTransport, error: Exception | None) -> None:
        """Let a transport end as soon as its owner and all others are done."""
        self.forget(transport.sock)
        if not self._ended and not self._receiving:
            self._loop.call_soon(self._end_all)
        self._ended.append((transport, error))

    def _ready(self) -> None:
        self._receiving = True
        for number, _ in self._epoll.poll(0, _EVENTS):
            # One before it may have ended it.
            transport = self._transports.get(number)
            if transport is None:
                continue
            try:
                transport.receive()
            except Exception as exc:
                self._report(exc)
                transport.abort()
        self._receiving = False
        self._end_all()

    def _end_all(self) -> None:
        ended, self._ended = self._ended, []
        for transport, error in ended:
            try:
                transport.lost(error)
            except Exception as exc:
                self._report(exc)

    def _report(self, error: Exception) -> None:
        """Of one connection, and no other's concern."""
        message = "what a connection received could not be handled"
        self._loop.call_exception_handler({"message": message, "exception": error})

    def close(self) -> None:
        """Let go of the epoll; all connections have ended."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()


def _new_epoll() -> Any:
    if sys.platform != "linux":
        raise NotImplementedError
    return select.epoll()
