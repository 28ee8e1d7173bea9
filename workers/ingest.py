"""A remote publisher's side of the relay: its frames go into the ring as they came.

The envelope that the publisher packed is checked and written unchanged. Key-frame requests
of viewers go back to it. When its connection ends, for whatever reason, the stream ends;
viewers wait for it to return.
"""

from __future__ import annotations

import logging
from typing import Final

from websockets.frames import CloseCode

from bus.errors import BusError, FrameInvalid, FrameTooLarge, NoSpace, StreamBusy, TakenOver
from bus.frame import decode
from bus.publisher import Publisher
from workers import messages
from workers.connection import Connection
from workers.engines.interface import Channel
from workers.errors import PeerError
from workers.services import StreamServices
from workers.table import Column

__all__ = ["IngestSession"]

log = logging.getLogger(__name__)

_FIRST_LIMIT: Final = 65_536
"""Bytes of the largest message before the hello has been accepted."""


class IngestSession:
    """One remote publisher.

    Attributes:
        stream: what it publishes.
    """

    __slots__ = (
        "_channel",
        "_connection",
        "_key_asked",
        "_publisher",
        "_streams",
        "_takeover",
        "stream",
    )

    _channel: Channel

    def __init__(
        self, streams: StreamServices, connection: Connection, stream: str, *, takeover: bool
    ) -> None:
        self._streams = streams
        self._connection = connection
        self.stream = stream
        self._takeover = takeover
        self._publisher: Publisher | None = None
        self._key_asked = False

    def opened(self, channel: Channel, head: bytes) -> None:
        """The request is accepted; from then on the publisher speaks first."""
        channel.control(head)
        self._channel = channel
        self._connection.accept_messages_of(_FIRST_LIMIT)

    def channel_idle(self) -> None:
        """Only control messages go this way."""

    def channel_behind(self) -> None:
        """No frames go this way."""

    def closed(self) -> None:
        """The connection is gone, and the stream with it."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            self._streams.row.add(Column.PUBLISHERS, -1)
            self._streams.ingest.discard(self)
            publisher.close()

    def message(self, data: bytes) -> None:
        """A hello, a frame, a clock, or the end.

        Raises:
            PeerError: for anything else, and when the stream cannot be published.
        """
        if messages.is_frame(data):
            self._frame(data)
            return
        value = messages.parse_map(data)
        match value["type"]:
            case "hello":
                self._hello(messages.publisher_hello(value))
            case "ping":
                self._channel.control(messages.pong(messages.integer(value, "t0")))
            case "pong":
                self._measure_clock(messages.integer(value, "t0"), messages.integer(value, "t1"))
            case "ended":
                self._connection.close(CloseCode.NORMAL_CLOSURE, "the stream has ended")
            case "stats":
                pass
            case unknown:
                raise _protocol(f"a publisher does not send messages of type {unknown!r:.20}")

    def _hello(self, hello: messages.PublisherHello) -> None:
        if self._publisher is not None:
            self._publisher.update(
                codec=hello.codec,
                width=hello.width,
                height=hello.height,
                fps=hello.fps,
                init=hello.init,
            )
        else:
            self._publisher = self._publish(hello)
            self._streams.row.add(Column.PUBLISHERS)
            self._streams.ingest.add(self)
            self._connection.accept_messages_of(self._streams.limits.max_publish_message)
        self._channel.control(messages.ok(self.stream, self._publisher.epoch))
        self._channel.control(messages.ping())

    def _publish(self, hello: messages.PublisherHello) -> Publisher:
        try:
            return Publisher(
                self.stream,
                codec=hello.codec,
                width=hello.width,
                height=hello.height,
                fps=hello.fps,
                init=hello.init,
                instance=self._streams.instance,
                capacity=self._streams.limits.publish_ring,
                takeover=self._takeover,
                kind="ws",
                address=self._connection.address,
            )
        except StreamBusy as exc:
            reason = f"stream {exc.stream!r} is being published by {exc.holder}"
            raise PeerError(CloseCode.POLICY_VIOLATION, reason, Column.REFUSED_BUSY) from None
        except OSError as exc:
            # Memory or descriptors are short; that may pass.
            what = str(exc) if isinstance(exc, NoSpace) else exc.strerror
            reason = f"the relay cannot take the stream now: {what}"
            raise PeerError(CloseCode.TRY_AGAIN_LATER, reason, Column.REFUSED_LIMIT) from None
        except BusError as exc:
            raise PeerError(CloseCode.INTERNAL_ERROR, str(exc), Column.REFUSED_BUSY) from None

    def _frame(self, data: bytes) -> None:
        publisher = self._publisher
        if publisher is None:
            raise _protocol("a publisher's first message must be its hello")
        try:
            frame = decode(data)
            publisher.write_envelope(data, key=frame.key)
        except FrameInvalid as exc:
            raise _protocol(str(exc)) from None
        except FrameTooLarge as exc:
            raise PeerError(CloseCode.MESSAGE_TOO_BIG, str(exc), Column.REFUSED_LIMIT) from None
        except TakenOver as exc:
            raise PeerError(CloseCode.POLICY_VIOLATION, str(exc), Column.REFUSED_BUSY) from None
        if frame.key:
            self._key_asked = False
        self.forward_key_request()

    def forward_key_request(self) -> None:
        """Ask the publisher for a key frame if a viewer asked for one; once for each."""
        publisher = self._publisher
        if publisher is not None and publisher.key_requested and not self._key_asked:
            self._key_asked = True
            self._channel.control(messages.KEY_REQUEST)

    def stop(self, reason: str) -> None:
        """End the stream, whatever its publisher thinks of it."""
        log.info("%s: %s", self._connection, reason)
        self._connection.close(CloseCode.POLICY_VIOLATION, reason)

    def _measure_clock(self, t0: int, t1: int) -> None:
        """From our ping's time and the publisher's answer: how far its clock is ahead."""
        now = messages.unix_us()
        if self._publisher is not None and 0 < t0 <= now:
            self._publisher.set_clock_offset(t1 - (t0 + now) // 2)

    def tick(self) -> None:
        """Called a few times a second."""
        self.forward_key_request()


def _protocol(reason: str) -> PeerError:
    return PeerError(CloseCode.INVALID_DATA, reason, Column.REFUSED_PROTOCOL)
