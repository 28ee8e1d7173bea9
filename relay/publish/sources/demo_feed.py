"""The built-in test pattern as a feed: drawn, encoded, paced. See `Feed` in `model`."""

from __future__ import annotations

from collections.abc import Iterator

from av.video.frame import VideoFrame

from relay.publish.clock import now_us
from relay.publish.model import MediaFrame
from relay.publish.pattern import Pattern
from relay.publish.sources.encoder import EncoderSettings, open_encoder
from relay.publish.sources.pacer import Pacer

__all__ = ["DemoFeed"]

_BT709 = 1  # FFmpeg's AVCOL_SPC_BT709


class DemoFeed:
    """Endless test pattern.

    Args:
        settings: how to encode it.
        stream: shown in the picture.
        size: width and height, even.
        fps: frames per second.
        pacer: holds frames back until their time, and ends the feed.

    Raises:
        PublishError: when no encoder works.
    """

    live = False  # it can wait for a relay: nothing is lost meanwhile

    def __init__(
        self,
        settings: EncoderSettings,
        stream: str,
        size: tuple[int, int],
        fps: float,
        pacer: Pacer,
    ) -> None:
        width, height = size
        self._encoder = open_encoder(settings, width, height, fps)
        self._pattern = Pattern(width, height, stream, f"{width}X{height}  {fps:g} FPS")
        self._fps = fps
        self._pacer = pacer

    def request_key(self) -> None:
        self._encoder.request_key()

    def frames(self) -> Iterator[MediaFrame]:
        """See `Feed.frames`. Frame numbers in the picture count from 0."""
        number = 0
        while self._pacer.wait(pts_us := round(number * 1_000_000 / self._fps)):
            capture_us = now_us()
            array = self._pattern.draw(number, capture_us)
            picture = VideoFrame.from_ndarray(array, "yuv420p")
            picture.colorspace = _BT709
            yield from self._encoder.encode(picture, pts_us, capture_us)
            number += 1
