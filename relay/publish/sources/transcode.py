"""Packets that browsers cannot decode: decode them, and encode them again.

`Transcoder.push` takes demuxed packets like the classes of `passthrough`, but may give any
number of frames for one packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import av.error
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from relay.publish.clock import now_us
from relay.publish.model import MediaFrame
from relay.publish.sources.encoder import VideoEncoder
from relay.publish.sources.source import Source
from relay.publish.sources.timeline import Stamp

__all__ = ["FrameRateLimit", "MakeEncoder", "Transcoder"]

MakeEncoder = Callable[[int, int, float], VideoEncoder]
"""Opens an encoder for a width, height and frame rate."""

_MICROSECOND = Fraction(1, 1_000_000)
_REMEMBERED = 256  # pictures inside a decoder; more means that their stamps were lost
_DEFAULT_FPS = 25.0


class FrameRateLimit:
    """Drops pictures so that at most ``fps`` a second remain; pure."""

    def __init__(self, fps: float | None) -> None:
        self._step_us = 1_000_000 / fps if fps else 0.0
        self._due_us: float | None = None

    def keep(self, pts_us: int) -> bool:
        """Whether the picture at ``pts_us`` stays."""
        if self._due_us is None:
            self._due_us = float(pts_us)
        # Some tolerance, so that 30 to 15 fps does not depend on rounding or a camera's jitter.
        if pts_us < self._due_us - self._step_us * 0.1:
            return False
        self._due_us = max(self._due_us + self._step_us, pts_us - self._step_us)
        return True


class Transcoder:
    """Decodes one opened source; its encoder outlives it, for loops and reopened sources."""

    def __init__(
        self,
        make_encoder: MakeEncoder,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
    ) -> None:
        """
        Args:
            make_encoder: called when the first picture, or another picture size, comes.
            size: scale to this size.
            fps: drop pictures above this rate.
        """
        self._make = make_encoder
        self._size = size
        self._wanted_fps = fps
        self._limit = FrameRateLimit(fps)
        self._encoder: VideoEncoder | None = None
        self._decoder: VideoCodecContext | None = None
        self._source_fps = _DEFAULT_FPS
        self._captured: dict[int, int] = {}  # pts_us: capture_us of pictures being decoded

    def begin(self, source: Source) -> None:
        """The next packets come from this source."""
        self._decoder = source.video.codec_context
        # Frame threads delay each picture by one per thread; only a file does not mind.
        self._decoder.thread_type = "AUTO" if source.recorded else "SLICE"
        self._source_fps = source.fps or _DEFAULT_FPS
        self._captured.clear()

    def request_key(self) -> None:
        """Make a key frame soon."""
        if self._encoder is not None:
            self._encoder.request_key()

    def push(
        self, packet: Packet[VideoStream], stamp: Stamp, capture_us: int
    ) -> Iterator[MediaFrame]:
        """Decode a packet, encode what comes out."""
        packet.time_base = _MICROSECOND
        packet.pts, packet.dts = stamp.pts_us, stamp.dts_us
        if len(self._captured) > _REMEMBERED:
            self._captured.clear()
        self._captured[stamp.pts_us] = capture_us
        yield from self._encode(self._decode(packet))

    def end_of_source(self) -> Iterator[MediaFrame]:
        """Encode the pictures that the decoder still held."""
        yield from self._encode(self._decode(None))

    def flush(self) -> Iterator[MediaFrame]:
        """The last frames; nothing comes after them."""
        if self._encoder is not None:
            yield from self._encoder.flush()

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        if self._decoder is None:
            return []
        try:
            return self._decoder.decode(packet)
        except av.error.FFmpegError:
            return []  # a damaged packet costs its picture, not the stream

    def _encode(self, pictures: list[VideoFrame]) -> Iterator[MediaFrame]:
        for picture in pictures:
            pts_us = picture.pts if picture.pts is not None else 0
            capture_us = self._captured.pop(pts_us, 0) or now_us()
            if self._limit.keep(pts_us):
                yield from self._encoder_for(picture).encode(picture, pts_us, capture_us)

    def _encoder_for(self, picture: VideoFrame) -> VideoEncoder:
        # 4:2:0 has one colour sample for two pixels each way, so sides are even.
        width, height = self._size or (picture.width // 2 * 2, picture.height // 2 * 2)
        if self._encoder is None or (self._encoder.width, self._encoder.height) != (width, height):
            fps = min(self._wanted_fps or self._source_fps, self._source_fps)
            self._encoder = self._make(width, height, fps)
        return self._encoder
