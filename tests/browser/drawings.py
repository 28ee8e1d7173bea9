"""Pictures that a Python program might publish: a radar and a spectrogram, as JPEG. Pure."""

from __future__ import annotations

import io
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["PERIOD_S", "SIZE", "radar", "spectrogram"]

SIZE: Final = (640, 360)
PERIOD_S: Final = 4
"""After so many seconds the radar begins again."""

_ECHOES: Final = ((0.12, 0.55), (0.31, 0.8), (0.47, 0.35), (0.66, 0.72), (0.83, 0.5), (0.9, 0.9))
"""Turn and distance of what the radar sees."""
_TAIL: Final = 100
"""Degrees for which the beam glows."""
_TONES: Final = ((0.12, 0.9, 0.31), (0.27, 0.6, 0.17), (0.55, 0.8, 0.23), (0.78, 0.5, 0.41))
"""Height, loudness and tremor (Hz) of what is heard."""
_INK: Final = np.array(
    [(6, 8, 24), (38, 22, 92), (128, 32, 120), (222, 76, 66), (250, 180, 60), (252, 250, 200)],
    np.float32,
)


def radar(seconds: float) -> bytes:
    """A beam that goes round, and echoes that fade."""
    turn = seconds / PERIOD_S % 1
    width, height = SIZE
    picture = Image.new("RGB", SIZE, (5, 14, 12))
    draw = ImageDraw.Draw(picture)
    x, y, radius = width / 2, height / 2, height * 0.46
    box = (x - radius, y - radius, x + radius, y + radius)
    for step in reversed(range(_TAIL)):
        angle = turn * 360 - step
        glow = (1 - step / _TAIL) ** 2
        colour = (8, round(20 + 130 * glow), round(16 + 60 * glow))
        draw.pieslice(box, angle - 1.5, angle, fill=colour)
    for ring in range(1, 5):
        far = radius * ring / 4
        draw.ellipse((x - far, y - far, x + far, y + far), outline=(32, 104, 78))
    draw.line((x - radius, y, x + radius, y), fill=(24, 78, 60))
    draw.line((x, y - radius, x, y + radius), fill=(24, 78, 60))
    for at, distance in _ECHOES:
        age = (turn - at) % 1
        bright = round(255 * max(0.2, 1 - age * 1.2))
        angle, far, size = at * math.tau, distance * radius, 4 + 3 * (1 - age)
        left, top = x + far * math.cos(angle), y + far * math.sin(angle)
        spot = (left - size, top - size, left + size, top + size)
        draw.ellipse(spot, fill=(bright // 2, bright, bright * 3 // 4))
    return _jpeg(picture)


def spectrogram(seconds: float) -> bytes:
    """Wavering tones with their overtones, that wander from right to left."""
    width, height = SIZE
    time = seconds + np.linspace(-6, 0, width, dtype=np.float32)[None, :]
    level = np.linspace(1, 0, height, dtype=np.float32)[:, None]
    noise = np.random.default_rng(int(seconds * 20)).random((height, width), np.float32)
    loud = 0.10 + 0.08 * noise + 0.1 * (1 - level)
    for at, amplitude, tremor in _TONES:
        middle = at + 0.05 * np.sin(time * math.tau * tremor) + 0.02 * np.sin(time * 3.1 + at * 9)
        beat = 0.55 + 0.45 * np.sin(time * math.tau * tremor * 3 + at * 7)
        loud += amplitude * beat * np.exp(-(((level - middle) / 0.022) ** 2))
        loud += 0.25 * amplitude * beat * np.exp(-(((level - middle) / 0.08) ** 2))
    return _jpeg(Image.fromarray(_coloured(np.clip(loud, 0, 0.999))))


def _coloured(level: NDArray[np.float32]) -> NDArray[np.uint8]:
    place = level * (len(_INK) - 1)
    below = place.astype(np.intp)
    part = (place - below)[..., None]
    return (_INK[below] * (1 - part) + _INK[below + 1] * part).astype(np.uint8)


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88, subsampling=0)
    return file.getvalue()
