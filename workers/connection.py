"""One TCP connection: bytes in and out of websockets' Sans-I/O `ServerProtocol`.

What a connection is for (a page, a viewer, a publisher) is decided by its `Router` when the
request's header is complete; from then on its `Session` gets the messages. Closing is here,
for all of them alike:

* The peer's Close frame is answered with its own code, 1000 when it has none; then FIN; then
  the peer is drained to its end of file under a deadline; then the socket is closed.
* Ours goes the same way round. A peer that does not finish in time is reset.
* Close then FIN, Close then RST, bare RST, silence: all are normal ways for a browser to go.

A receive is always armed. No error here reaches another connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from typing import Final, cast

from websockets.exceptions import InvalidMessage
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import SEND_EOF, Protocol, Side, State
from websockets.server import ServerProtocol

from workers.acceptor import LINGER_RESET
from workers.engines.asyncio_engine import transport_channel
from workers.engines.interface import Channel
from workers.errors import PeerError, close_reason
from workers.handshake import plain_handshake
from workers.liveness import Due, Liveness
from workers.request import HttpRequest, RequestHeader, http_request
from workers.responses import text_response
from workers.session import Services, Session
from workers.table import Column
from workers.viewer_id import ViewerId

__all__ = ["Connection"]

log = logging.getLogger(__name__)
# One line per connection from the library would drown the worker's own.
_quiet = logging.getLogger("workers.websocket")
_quiet.setLevel(logging.CRITICAL)

_EMPTY_CLOSE: Final = b"\x88\x00"
_CLOSE_1000: Final = b"\x88\x02\x03\xe8"
_HEADER_LIMIT: Final = 16_384
"""Bytes of a request's header; as generous as nginx's and Apache's defaults together."""
_GIVEN_UP: Final = {Due.STALLED: Column.CLOSED_STALLED, Due.SILENT: Column.CLOSED_SILENT}
_LAST_REQUEST: Final = 1.0
"""Seconds in which a request must come on a connection that is to be closed."""
_CONTROL_BACKLOG: Final = 65_536
"""Bytes of answers to a peer that reads none of them, beyond the frame in flight."""


class Connection(asyncio.Protocol):
    """See the module.

    Attributes:
        address: the peer's IP address.
        role: stream, ``viewer`` or ``publisher``, and its number; None before it has one.
        surplus: whether that address has more connections than it may; it is only told so.
    """

    __slots__ = (
        "_channel",
        "_close_at",
        "_closing_with",
        "_header",
        "_life",
        "_parts",
        "_protocol",
        "_services",
        "_session",
        "_transport",
        "_unsent",
        "address",
        "role",
        "surplus",
    )

    def __init__(self, services: Services, address: str, *, surplus: bool = False) -> None:
        self._services = services
        self.address = address
        self.surplus = surplus
        self.role: tuple[str, str, int] | None = None
        # None before the first bytes; and after a plain handshake, until a frame comes or goes.
        self._protocol: Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._channel: Channel | None = None
        # One buffer: a list would let tiny fragments cost more than their bytes.
        self._parts: bytearray | None = None
        # Of a request that is no plain handshake.
        self._header: RequestHeader | None = None
        # Of an open WebSocket connection.
        self._life: Liveness | None = None
        self._unsent = 0
        # For who asks for a WebSocket after `close`.
        self._closing_with: tuple[CloseCode, str] | None = None
        # When a closing handshake must be over; 0: none has begun.
        self._close_at = 0.0

    def __str__(self) -> str:
        return self.address

    @property
    def log_fields(self) -> dict[str, str | int]:
        """What log lines about it say beside their words."""
        fields: dict[str, str | int] = {"address": self.address}
        if self.role is not None:
            row = self._services.row
            fields["stream"], who, number = self.role
            fields[who] = str(ViewerId(row[Column.SLOT], row[Column.GENERATION], number))
        return fields

    @property
    def _state(self) -> State:
        if self._protocol is not None:
            return self._protocol.state
        return State.CONNECTING if self._channel is None else State.OPEN

    def _frames(self) -> Protocol:
        """The library's protocol, for what comes and goes after a plain handshake."""
        if self._protocol is None:
            limit = self._services.limits.max_viewer_message
            self._protocol = Protocol(Side.SERVER, max_size=limit, logger=_quiet)
        return self._protocol

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        # uvloop's transports have the interface without the base class.
        self._transport = cast(asyncio.Transport, transport)
        self._services.watch(self, time.monotonic() + self._services.limits.header_timeout)

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer, any number at a time."""
        if self._life is not None:
            self._life.heard = time.monotonic()
        elif self._protocol is None:
            handshake = plain_handshake(data)
            if handshake is not None:
                self._upgrade(*handshake)
                return
            limit = self._services.limits.max_viewer_message
            self._protocol = ServerProtocol(max_size=limit, logger=_quiet)
            self._header = RequestHeader()
        protocol = self._frames()
        if protocol.state is State.CONNECTING and not protocol.eof_sent:
            data = self._receive_header(protocol, data)
            if not data:
                return
        protocol.receive_data(data)
        self._handle_events(protocol)

    def _receive_header(self, protocol: Protocol, data: bytes) -> bytes:
        """Take the request's header; what follows it has to wait until it is answered.

        The parser would answer frames that a peer sends too early ahead of the handshake,
        and take a second request for a broken frame.

        Returns:
            What follows.
        """
        assert self._header is not None
        length = self._header.take(data)
        if self._header.size > _HEADER_LIMIT:
            self._services.row.add(Column.REFUSED_REQUEST)
            self._respond(text_response(431, "the request's header is too large"))
            return b""
        protocol.receive_data(data[:length])
        self._handle_events(protocol)
        return data[length:]

    def eof_received(self) -> bool:
        """The peer finished. True keeps our side open until what we owe is written."""
        protocol = self._protocol if self._channel is None else self._frames()
        if protocol is not None and not protocol.eof_sent:
            protocol.receive_eof()
            self._handle_events(protocol)
        if self._channel is None:
            return False
        self._channel.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed; every operation on it has completed."""
        if exc is not None:
            log.debug("%s left: %s", self, exc)
        if isinstance(exc, TimeoutError):
            # TCP_USER_TIMEOUT: the kernel gave up on what this peer did not take.
            self._services.row.add(Column.CLOSED_STALLED)
        self._end_session()
        if self._channel is not None:
            self._channel.release()
        self._services.closed(self)
        if self._protocol is not None:
            # It and its generator refer to each other: without this they are garbage to look for.
            self._protocol.parser.close()
        self._transport = self._channel = None

    def pause_writing(self) -> None:
        """Flow control, for the engine."""
        if self._channel is not None:
            self._channel.pause_writing()

    def resume_writing(self) -> None:
        """Flow control, for the engine."""
        if self._channel is not None:
            self._channel.resume_writing()

    # Bytes to events to bytes.

    def _handle_events(self, protocol: Protocol) -> None:
        try:
            for event in protocol.events_received():
                if isinstance(event, Request):
                    self._request(event)
                elif isinstance(event, Frame):
                    self._frame(event)
        except PeerError as error:
            self.refuse(error)
        self._flush()
        self._stop_flood()

    def _flush(self) -> None:
        """Write what the protocol has to say."""
        protocol, transport = self._protocol, self._transport
        if protocol is None:
            return
        for data in protocol.data_to_send():
            if transport is None or transport.is_closing():
                continue
            if data == SEND_EOF:
                self._finish(protocol, transport)
            elif data == _EMPTY_CLOSE:
                self._write(transport, _CLOSE_1000)
            else:
                self._write(transport, data)

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        if self._channel is not None:
            self._channel.control(data)
        else:
            transport.write(data)

    def _stop_flood(self) -> None:
        """Cut off a peer that asks for answers, of whatever kind, and reads none."""
        channel, transport = self._channel, self._transport
        if channel is None or transport is None or channel.idle or transport.is_closing():
            return
        if self._close_at:
            return
        if channel.unsent() > self._services.limits.max_publish_message + _CONTROL_BACKLOG:
            log.debug("%s asks for answers and reads none", self)
            self._services.row.add(Column.REFUSED_PROTOCOL)
            self.abort()

    def _finish(self, protocol: Protocol, transport: asyncio.Transport) -> None:
        """FIN, and a deadline for the peer's."""
        settings = self._services.settings
        invalid = protocol.handshake_exc
        if invalid is not None and not protocol.reader.eof:
            self._services.row.add(Column.REFUSED_REQUEST)
            if isinstance(invalid, InvalidMessage):
                # websockets just hangs up on what is no HTTP request; a person may want to know.
                line = text_response(400, "this is not a valid HTTP GET request")
                transport.write(line.serialize())
        self._count_protocol_error(protocol.parser_exc)
        answered = protocol.state is State.CONNECTING
        if self._channel is None:
            self._channel = transport_channel(transport, self)
        self._channel.finish()
        self._unsent = self._channel.unsent()
        self._begin_close(settings.progress_timeout if answered else settings.close_timeout)

    def _count_protocol_error(self, error: Exception | None) -> None:
        if error is not None and not isinstance(error, EOFError):
            self._services.row.add(Column.REFUSED_PROTOCOL)
            log.debug("%s broke the protocol: %s", self, error)

    def _begin_close(self, timeout: float) -> None:
        self._end_session()
        if not self._close_at:
            self._close_at = time.monotonic() + timeout
            self._services.watch(self, self._close_at)

    # Requests.

    def _upgrade(self, request: HttpRequest, response: bytes) -> None:
        """Accept a plain handshake, unless the router has another answer."""
        outcome = self._services.router.route(self, request)
        if isinstance(outcome, Response):
            self._respond(outcome)
        else:
            self._open(outcome, response)

    def _request(self, request: Request) -> None:
        outcome = self._services.router.route(self, http_request(request))
        if isinstance(outcome, Response):
            self._respond(outcome)
            return
        protocol = self._protocol
        assert isinstance(protocol, ServerProtocol)
        response = protocol.accept(request)
        protocol.send_response(response)
        if response.status_code == 101:
            self._open(outcome, b"".join(protocol.data_to_send()))
        else:
            self._flush()

    def _open(self, session: Session, response: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        # The response is the first thing that goes through it.
        channel = self._channel = self._services.engine.adopt(transport, self)
        self._services.row.add(Column.HANDSHAKES)
        self._session = session
        self._life = Liveness(time.monotonic())
        self._services.watch(self, self._life.first_look(self._services.settings))
        session.opened(channel, response)
        if self._closing_with is not None:
            self.close(*self._closing_with)

    def _respond(self, response: Response) -> None:
        self._services.row.add(Column.HTTP_REQUESTS)
        protocol = self._protocol
        if protocol is None:
            protocol = self._protocol = ServerProtocol(logger=_quiet)
        assert isinstance(protocol, ServerProtocol)
        if self._transport is not None and self._channel is None:
            # A page is no fan-out: whatever the engine, the transport sends it.
            self._channel = transport_channel(self._transport, self)
        protocol.send_response(response)
        self._flush()

    # Messages.

    def _frame(self, frame: Frame) -> None:
        # Also what came just before the peer's Close, in the same read.
        if self._session is None:
            return
        if frame.opcode is Opcode.TEXT:
            raise PeerError(
                CloseCode.UNSUPPORTED_DATA,
                "messages here are binary: msgpack, not text",
                Column.REFUSED_PROTOCOL,
            )
        if frame.opcode is Opcode.BINARY and frame.fin:
            self._session.message(bytes(frame.data))
        elif frame.opcode is Opcode.BINARY:
            self._parts = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._parts is not None:
            self._parts += frame.data
            if frame.fin:
                message, self._parts = bytes(self._parts), None
                self._session.message(message)

    def channel_idle(self) -> None:
        """The engine can take the next frame."""
        if self._session is not None and self._state is State.OPEN:
            self._session.channel_idle()

    def channel_behind(self) -> None:
        """A frame passed it by while it was busy."""
        if self._session is not None:
            self._session.channel_behind()

    def channel_failed(self, error: OSError) -> None:
        """The engine cannot send: the peer is gone."""
        log.debug("%s left: %s", self.address, error)
        if isinstance(error, TimeoutError):
            self._services.row.add(Column.CLOSED_STALLED)
        self.abort()

    def accept_messages_of(self, size: int) -> None:
        """Allow messages of up to ``size`` bytes from now on."""
        self._frames().max_message_size = size

    # Closing.

    def refuse(self, error: PeerError) -> None:
        """Close because of what the peer did or may not do; counted."""
        self._services.row.add(error.column)
        log.info("%s refused: %s", self, error.reason)
        self.close(error.code, error.reason)

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Begin the closing handshake.

        Who has not asked for anything yet gets an answer first: its request may be under way,
        and a browser tells nobody that it was closed in between.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._state is State.OPEN:
            self._frames().send_close(code, close_reason(reason))
            # Before the peer knows: a publisher that comes back at once finds its stream free.
            self._begin_close(self._services.settings.close_timeout)
            self._flush()
        elif self._protocol is None or (
            self._state is State.CONNECTING and not self._protocol.eof_sent
        ):
            self._closing_with = (code, reason)
            self._services.watch(self, time.monotonic() + _LAST_REQUEST)

    def abort(self) -> None:
        """Reset the connection at once."""
        transport = self._transport
        if transport is None:
            return
        # Without this a FIN would queue behind what the peer does not read: it would never
        # learn of its end, and the kernel would keep all of it.
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        transport.abort()

    def _end_session(self) -> None:
        """From the first Close on, the connection gets and gives nothing but its end."""
        session, self._session = self._session, None
        if session is not None:
            session.closed()

    # Deadlines.

    def check(self, now: float) -> float | None:
        """Act on deadlines; see `workers.deadlines`."""
        transport = self._transport
        if transport is None:
            return None
        if self._close_at:
            if now >= self._close_at:
                if self._state is not State.CONNECTING or not self._took_some():
                    self.abort()
                    return None
                self._close_at = now + self._services.settings.progress_timeout
            return self._close_at
        if self._life is None or self._channel is None:
            self._time_out_request(transport)
            return self._close_at or None
        due, again = self._life.look(self._channel, now, self._services.settings)
        if due is Due.PING:
            self._frames().send_ping(b"")
            self._flush()
        elif due is not Due.NOTHING:
            log.debug("%s is %s", self, due.name.lower())
            self._services.row.add(_GIVEN_UP[due])
            self.abort()
        return again

    def _took_some(self) -> bool:
        """Whether the reader of a page, slow as it may be, went on since the last look."""
        assert self._channel is not None
        before, self._unsent = self._unsent, self._channel.unsent()
        return self._unsent < before

    def _time_out_request(self, transport: asyncio.Transport) -> None:
        if self._header is None:
            # Browsers open connections ahead of need and leave them; nothing is wrong.
            transport.close()
            return
        self._services.row.add(Column.REFUSED_REQUEST)
        self._respond(text_response(408, "the request did not arrive in time"))
