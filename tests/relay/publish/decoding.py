"""Decodes what was published, as a browser would: from the description and the payloads."""

from __future__ import annotations

from collections.abc import Iterable

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from relay.publish.model import MediaFrame

__all__ = ["decode", "luma"]

_DECODERS = {"avc1": "h264", "vp8": "vp8", "vp09": "vp9", "av01": "libdav1d", "mjpeg": "mjpeg"}


def decode(frames: Iterable[MediaFrame]) -> list[VideoFrame]:
    """The pictures, in presentation order. The first frame must be a key frame."""
    pictures: list[VideoFrame] = []
    context: VideoCodecContext | None = None
    for frame in frames:
        if context is None:
            assert frame.key
            made = av.CodecContext.create(_DECODERS[frame.info.codec.split(".")[0]], "r")
            assert isinstance(made, VideoCodecContext)
            context = made
            context.extradata = frame.info.init or None
        packet = av.Packet(frame.payload)
        packet.pts = frame.pts_us
        pictures += context.decode(packet)
    if context is not None:
        pictures += context.decode(None)
    return pictures


def luma(picture: VideoFrame) -> NDArray[np.uint8]:
    """The brightness of a picture, indexed [y, x]."""
    return np.asarray(picture.to_ndarray()[: picture.height], np.uint8)
