"""The vocabulary of the publisher: what flows from a source to a sink.

A `Feed` produces encoded `MediaFrame`s in decode order; a `Sink` takes them to the relay.
Neither knows the other: `pump` moves the frames between them. Frames are immutable and own
their payload, so they may cross threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Feed", "MediaFrame", "Sink", "StreamInfo"]


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a decoder must know before the first frame.

    Attributes:
        codec: WebCodecs codec string, for example ``avc1.42c01f``, ``vp8`` or ``mjpeg``.
        width: picture width in pixels, 0 when unknown.
        height: picture height in pixels, 0 when unknown.
        fps: nominal frames per second, 0.0 when unknown.
        init: decoder description (the avcC record for length-prefixed H.264), else empty.
    """

    codec: str
    width: int = 0
    height: int = 0
    fps: float = 0.0
    init: bytes = b""


@dataclass(frozen=True, slots=True)
class MediaFrame:
    """One encoded picture.

    Attributes:
        info: the stream's description; another object means that the decoder must be
            configured again, and such a frame is a key frame.
        payload: the encoded picture.
        key: whether a decoder can start here.
        pts_us: media clock, microseconds; grows across loops and reopened sources.
        capture_us: Unix time at which the picture was captured or read, microseconds.
    """

    info: StreamInfo
    payload: bytes
    key: bool
    pts_us: int
    capture_us: int


class Feed(Protocol):
    """A source of encoded frames. Used by one thread, `request_key` by any."""

    @property
    def live(self) -> bool:
        """Whether frames come from the world (a camera) and wait for nobody."""

    def frames(self) -> Iterator[MediaFrame]:
        """Yield frames at the pace of real time until the source ends.

        Raises:
            PublishError: when the source cannot be read.
        """

    def request_key(self) -> None:
        """Ask for a key frame soon; a feed that passes packets through cannot obey."""


class Sink(Protocol):
    """Where frames go. `open`, `wait_ready` and `write` are called by one pump thread."""

    @property
    def key_requested(self) -> bool:
        """Whether somebody downstream waits for a key frame."""

    @property
    def dropped(self) -> int:
        """Frames that never left because the way was blocked."""

    @property
    def reconnects(self) -> int:
        """How often the connection was made again after the first time."""

    def open(self, info: StreamInfo) -> None:
        """Announce the stream; called again whenever ``info`` changes.

        Raises:
            Refused: when the stream cannot be published here.
        """

    def wait_ready(self) -> None:
        """Block until frames are wanted, the sink failed, or `abort` was called."""

    def write(self, frame: MediaFrame) -> None:
        """Publish a frame. Never blocks for longer than a memory copy.

        Raises:
            Refused: when the stream was lost to another publisher.
        """

    def abort(self) -> None:
        """Release a blocked `wait_ready`. May be called from any thread."""

    async def run(self) -> None:
        """Serve the connection until `finish`; a sink that needs none waits.

        Raises:
            Refused: when the relay turned this publisher away for good.
        """

    async def finish(self, *, drain: bool) -> None:
        """End the stream cleanly.

        Args:
            drain: first deliver what was written (a file came to its end), within a deadline.
        """
