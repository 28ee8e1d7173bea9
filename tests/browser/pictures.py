"""Pictures to compare with: what PyAV makes of the clip, and how near another one is."""

from __future__ import annotations

import functools
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.media import CLIP_FRAMES, clip_path

__all__ = ["GOOD", "Picture", "clip_picture", "luma_of", "psnr"]

Picture = NDArray[np.uint8]
"""RGB, shape (height, width, 3)."""

GOOD: Final = 30.0
"""dB. Another decoder's rounding and colour conversion cost less, a wrong picture more."""


@functools.lru_cache(maxsize=8)
def clip_picture(seq: int) -> Picture:
    """The picture of the clip's packet ``seq`` (modulo the clip's length), decoded by PyAV."""
    import av

    with av.open(str(clip_path())) as opened:
        wanted = [packet.pts for packet in opened.demux(video=0) if packet.size][seq % CLIP_FRAMES]
    with av.open(str(clip_path())) as opened:
        for frame in opened.decode(video=0):
            if frame.pts == wanted:
                picture: Any = frame.to_ndarray(format="rgb24")
                return np.asarray(picture, np.uint8)
    raise AssertionError(f"the clip has no picture with pts {wanted}")


def psnr(one: Picture, other: Picture) -> float:
    """Peak signal-to-noise ratio, dB; infinite for equal pictures."""
    assert one.shape == other.shape, f"{one.shape} is not {other.shape}"
    error = float(((one.astype(np.float32) - other.astype(np.float32)) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def luma_of(picture: Picture) -> NDArray[np.uint8]:
    """How bright each pixel is."""
    mean: NDArray[np.float32] = picture.mean(axis=2, dtype=np.float32)
    return np.rint(mean).astype(np.uint8)
