"""A browser's side of the relay: what a viewer says, and its place in a hub."""

from __future__ import annotations

import logging
import time

from websockets.frames import CloseCode

from workers import messages
from workers.connection import Connection
from workers.engines.interface import Channel
from workers.errors import PeerError
from workers.hub import Hub
from workers.services import StreamServices
from workers.table import Column
from workers.viewer import ViewerPosition
from workers.viewer_reports import ViewerReports
from workers.viewer_table import ViewerEntry

__all__ = ["ViewerSession"]

log = logging.getLogger(__name__)


class ViewerSession:
    """One viewer.

    Attributes:
        channel: its way out.
        entry: its row in shared memory.
        position: its place in the stream.
        raw: whether it gets bare payloads.
    """

    __slots__ = (
        "_connection",
        "_hub",
        "_number",
        "_reports",
        "_stream",
        "_streams",
        "channel",
        "entry",
        "position",
        "raw",
    )

    channel: Channel
    entry: ViewerEntry

    def __init__(
        self,
        streams: StreamServices,
        connection: Connection,
        stream: str,
        *,
        raw: bool,
        number: int,
    ) -> None:
        self._streams = streams
        self._connection = connection
        self._stream = stream
        self._number = number
        self._hub: Hub | None = None
        # Made when it first reports.
        self._reports: ViewerReports | None = None
        self.raw = raw
        self.position = ViewerPosition(time.monotonic())

    def opened(self, channel: Channel, head: bytes) -> None:
        """The request is accepted: join the stream."""
        log.debug("%s watches", self._connection)
        self.channel = channel
        address = self._connection.address
        self._hub = self._streams.join(self._stream, self, self._number, address, head)

    def channel_idle(self) -> None:
        """The last frame is out: go on with what is due now."""
        if self._hub is not None:
            self._hub.advance(self)

    def channel_behind(self) -> None:
        """A frame came while the one before it was in flight."""
        if self._hub is not None:
            self._hub.fell_behind(self)

    def closed(self) -> None:
        """The connection is gone."""
        hub, self._hub = self._hub, None
        if hub is not None:
            self._streams.leave(hub, self, self._number)

    def kick(self, reason: str) -> None:
        """Close it; a player does not come back from this."""
        log.info("%s: %s", self._connection, reason)
        self._connection.close(CloseCode.POLICY_VIOLATION, reason)

    def message(self, data: bytes) -> None:
        """What the player has to say.

        Raises:
            PeerError: for anything that a player does not say.
        """
        value = messages.parse_map(data)
        hub = self._hub
        if hub is None:
            return
        match value["type"]:
            case "pause":
                hub.pause(self)
            case "resume":
                hub.resume(self)
            case "key":
                hub.decoder_needs_key(self)
            case "ping":
                t0 = messages.integer(value, "t0")
                self.channel.control(messages.pong(t0, hub.clock_offset_us))
            case "stats":
                self._reports = self._reports or ViewerReports()
                self._reports.take(value, time.monotonic(), self._streams.row)
            case "pong":
                # Any received byte is a sign of life; this carries nothing else for us.
                pass
            case unknown:
                raise PeerError(
                    CloseCode.INVALID_DATA,
                    f"a viewer does not send messages of type {unknown!r:.20}",
                    Column.REFUSED_PROTOCOL,
                )
