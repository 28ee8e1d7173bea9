"""One TCP connection: a request and its answer, or a handshake and what follows it.

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
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

from websockets.frames import CloseCode
from websockets.http11 import Response

from workers.acceptor import LINGER_RESET
from workers.engines.interface import Channel
from workers.errors import PeerError
from workers.handshake import plain_handshake
from workers.liveness import Due, Liveness
from workers.request import HttpRequest, http_request
from workers.request_reader import RequestReader
from workers.responses import text_response
from workers.session import Services, Session
from workers.table import Column
from workers.viewer_id import ViewerId
from workers.websocket import WebSocket, plain_close

__all__ = ["Connection"]

log = logging.getLogger(__name__)
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
        "_frames",
        "_life",
        "_reader",
        "_services",
        "_session",
        "_taken",
        "_transport",
        "address",
        "role",
        "surplus",
    )

    def __init__(self, services: Services, address: str, *, surplus: bool = False) -> None:
        self._services = services
        self.address = address
        self.surplus = surplus
        self.role: tuple[str, str, int] | None = None
        # Of a request that is no plain handshake.
        self._reader: RequestReader | None = None
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._channel: Channel | None = None
        # Of a WebSocket connection; frames only when the first comes or goes.
        self._life: Liveness | None = None
        self._frames: WebSocket | None = None
        # How much of a page had been taken at the last look.
        self._taken = 0
        # For who asks for a WebSocket after `close`.
        self._closing_with: tuple[CloseCode, str] | None = None
        # When the end must be over, of a closing handshake or after a page; 0: it has not begun.
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
    def _open(self) -> bool:
        """Whether it is a WebSocket connection on which nobody has begun to close."""
        return self._session is not None and (self._frames is None or self._frames.open)

    def _websocket(self) -> WebSocket:
        if self._frames is None:
            self._frames = WebSocket(self._services.limits.max_viewer_message)
        return self._frames

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        # uvloop's transports have the interface without the base class.
        self._transport = cast(asyncio.Transport, transport)
        closing = self._closing_with is not None
        timeout = _LAST_REQUEST if closing else self._services.limits.header_timeout
        self._services.watch(self, time.monotonic() + timeout)

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer, any number at a time."""
        if self._life is not None:
            self._life.heard = time.monotonic()
            self._receive_messages(data)
        elif not self._close_at:
            self._receive_request(data)

    def eof_received(self) -> bool:
        """The peer finished. True keeps our side open until what we owe is written."""
        if self._channel is None:
            return False
        if self._frames is not None:
            self._frames.receive_eof()
            self._flush()
        elif self._session is not None:
            self._finish(self._channel, self._services.settings.close_timeout)
        self._channel.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed; every operation on it has completed."""
        if exc is not None:
            log.debug("%s left: %s", self, exc)
        if self._transport is None:
            # It was gone before it could be served.
            self._services.row.add(Column.ACCEPT_ERRORS)
        if isinstance(exc, TimeoutError):
            # TCP_USER_TIMEOUT: the kernel gave up on what this peer did not take.
            self._services.row.add(Column.CLOSED_STALLED)
        self._end_session()
        if self._channel is not None:
            self._channel.release()
        self._services.closed(self)
        if self._frames is not None:
            self._frames.release()
        self._end_request()
        self._transport = self._channel = None

    def pause_writing(self) -> None:
        """Flow control, for the engine."""
        if self._channel is not None:
            self._channel.pause_writing()

    def resume_writing(self) -> None:
        """Flow control, for the engine."""
        if self._channel is not None:
            self._channel.resume_writing()

    # Requests.

    def _receive_request(self, data: bytes) -> None:
        if self._reader is None:
            handshake = plain_handshake(data)
            if handshake is not None:
                request, response = handshake
                self._answer(request, lambda: response)
                return
            self._reader = RequestReader()
        reader = self._reader
        found, rest = reader.take(data)
        if isinstance(found, bytes):
            self._refuse_request(found)
        elif found is not None:
            self._answer(http_request(found), lambda: reader.accept(found))
        if rest:
            self.data_received(rest)

    def _answer(self, request: HttpRequest, accept: Callable[[], Response | bytes]) -> None:
        """Give a request what the router has for it; ``accept`` is for a WebSocket session."""
        outcome = self._services.router.route(self, request)
        if isinstance(outcome, Response):
            self._respond(outcome.serialize())
            return
        response = accept()
        if isinstance(response, bytes):
            self._upgrade(outcome, response)
        elif response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._upgrade(outcome, response.serialize())
        else:
            self._refuse_request(response.serialize())

    def _upgrade(self, session: Session, response: bytes) -> None:
        self._end_request()
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

    def _refuse_request(self, response: bytes) -> None:
        self._services.row.add(Column.REFUSED_REQUEST)
        self._respond(response)

    def _respond(self, response: bytes) -> None:
        """Answer with a page, and finish."""
        self._end_request()
        self._services.row.add(Column.HTTP_REQUESTS)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        channel = self._channel = self._services.engine.adopt(transport, self)
        channel.control(response)
        self._taken = channel.progress()
        self._finish(channel, self._services.settings.progress_timeout)

    def _end_request(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # Messages.

    def _receive_messages(self, data: bytes) -> None:
        if self._frames is None and self._close_plainly(data):
            return
        try:
            for message in self._websocket().receive(data):
                # None from the first Close on.
                if self._session is not None:
                    self._session.message(message)
        except PeerError as error:
            if self._session is not None:
                self.refuse(error)
        self._flush()
        self._stop_flood()

    def _close_plainly(self, data: bytes) -> bool:
        """Whether the first bytes after the handshake are the last that matter."""
        if self._close_at:
            return True
        answer = plain_close(data)
        if answer is None or self._channel is None:
            return False
        self._channel.control(answer)
        self._finish(self._channel, self._services.settings.close_timeout)
        return True

    def _flush(self) -> None:
        """Write what the protocol has to say."""
        frames, channel, transport = self._websocket(), self._channel, self._transport
        for data in frames.to_send():
            if channel is None or transport is None or transport.is_closing():
                continue
            if data:
                channel.control(data)
                continue
            if frames.error is not None:
                self._services.row.add(Column.REFUSED_PROTOCOL)
                log.debug("%s broke the protocol: %s", self, frames.error)
            self._finish(channel, self._services.settings.close_timeout)

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

    def channel_idle(self) -> None:
        """The engine can take the next frame."""
        if self._session is not None and self._open:
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
        self._websocket().allow(size)

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
        if self._transport is not None and self._transport.is_closing():
            return
        if self._open:
            self._websocket().close(code, reason)
            # Before the peer knows: a publisher that comes back at once finds its stream free.
            self._begin_close(self._services.settings.close_timeout)
            self._flush()
        elif self._life is None and not self._close_at:
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

    def _finish(self, channel: Channel, timeout: float) -> None:
        """FIN, and a deadline for the peer's."""
        channel.finish()
        self._begin_close(timeout)

    def _begin_close(self, timeout: float) -> None:
        self._end_session()
        if not self._close_at:
            self._close_at = time.monotonic() + timeout
            self._services.watch(self, self._close_at)

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
                if self._life is not None or not self._took_some():
                    self.abort()
                    return None
                self._close_at = now + self._services.settings.progress_timeout
            return self._close_at
        if self._life is None or self._channel is None:
            self._time_out_request(transport)
            return self._close_at or None
        due, again = self._life.look(self._channel, now, self._services.settings)
        if due is Due.PING:
            self._websocket().ping()
            self._flush()
        elif due is not Due.NOTHING:
            log.debug("%s is %s", self, due.name.lower())
            self._services.row.add(_GIVEN_UP[due])
            self.abort()
        return again

    def _took_some(self) -> bool:
        """Whether the reader of a page, slow as it may be, went on since the last look."""
        assert self._channel is not None
        before, self._taken = self._taken, self._channel.progress()
        return self._taken > before

    def _time_out_request(self, transport: asyncio.Transport) -> None:
        if self._reader is None:
            # Browsers open connections ahead of need and leave them; nothing is wrong.
            transport.close()
            return
        self._refuse_request(text_response(408, "the request did not arrive in time").serialize())
