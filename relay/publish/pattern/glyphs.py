"""A small stroke font, drawn with numpy so that the test pattern needs no font files.

Each glyph is a set of polylines on a grid 4 wide and 6 high (y down), rendered with round
caps at any size. Only capitals, digits and the signs that stream names and clocks use.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mask", "text_mask"]

Mask = NDArray[np.float32]
"""Coverage from 0 to 1, indexed [y, x]."""

# Points are pairs of digits "xy"; spaces join them, "/" lifts the pen.
_STROKES = {
    "0": "01 10 30 41 45 36 16 05 01",
    "1": "11 20 26/16 36",
    "2": "01 10 30 41 42 06 46",
    "3": "01 10 30 41 42 33 44 45 36 16 05/23 33",
    "4": "36 30 04 44",
    "5": "40 00 02 32 43 45 36 16 05",
    "6": "41 30 10 01 05 16 36 45 44 33 03",
    "7": "00 40 16",
    "8": "13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33",
    "9": "43 13 02 01 10 30 41 45 36 16 05",
    "A": "06 02 20 42 46/04 44",
    "B": "03 33 42 41 30 00 06 36 45 44 33",
    "C": "41 30 10 01 05 16 36 45",
    "D": "00 30 41 45 36 06 00",
    "E": "40 00 06 46/03 33",
    "F": "40 00 06/03 33",
    "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06/40 46/03 43",
    "I": "10 30/20 26/16 36",
    "J": "40 45 36 16 05",
    "K": "00 06/40 03 46",
    "L": "00 06 46",
    "M": "06 00 23 40 46",
    "N": "06 00 46 40",
    "O": "01 10 30 41 45 36 16 05 01",
    "P": "06 00 30 41 42 33 03",
    "Q": "01 10 30 41 45 36 16 05 01/34 46",
    "R": "06 00 30 41 42 33 03/23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05",
    "T": "00 40/20 26",
    "U": "00 05 16 36 45 40",
    "V": "00 26 40",
    "W": "00 16 22 36 40",
    "X": "00 46/40 06",
    "Y": "00 23 40/23 26",
    "Z": "00 40 06 46",
    ":": "02/04",
    ".": "06",
    "-": "13 33",
    "_": "06 46",
    "+": "13 33/22 24",
}
_NARROW = {":": 0, ".": 0}  # width in grid units; the others are 4
_GAP = 2.0  # between glyphs, grid units
_SPACE = 2.5


@lru_cache(maxsize=512)
def _glyph(char: str, unit: float, weight: float) -> Mask:
    """One glyph; ``unit`` is the grid step and ``weight`` the pen's width in pixels."""
    columns = _NARROW.get(char, 4)
    height = int(np.ceil(6 * unit + weight)) + 1
    width = int(np.ceil(columns * unit + weight)) + 1
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    pad = weight / 2
    nearest = np.full((height, width), np.inf, np.float32)
    for stroke in _STROKES[char].split("/"):
        points = [(int(at[0]) * unit + pad, int(at[1]) * unit + pad) for at in stroke.split()]
        for (ax, ay), (bx, by) in zip(points, points[1:] or points, strict=False):
            dx, dy = bx - ax, by - ay
            length = dx * dx + dy * dy or 1.0
            along = np.clip(((xs - ax) * dx + (ys - ay) * dy) / length, 0, 1)
            distance = np.hypot(xs - ax - along * dx, ys - ay - along * dy)
            nearest = np.minimum(nearest, distance)
    coverage: Mask = np.clip(weight / 2 - nearest + 0.5, 0, 1).astype(np.float32)
    return coverage


@lru_cache(maxsize=64)
def text_mask(text: str, height: float, weight: float = 0.13) -> Mask:
    """Render a line of text; characters without a glyph become spaces.

    Args:
        text: the line; letters are shown as capitals.
        height: height of a capital in pixels.
        weight: width of the pen, as a part of ``height``.
    """
    unit = height / (6 + 6 * weight)
    pen = height * weight
    parts: list[tuple[int, Mask]] = []
    x = 0.0
    for char in text.upper():
        if char not in _STROKES:
            x += (_SPACE + _GAP) * unit
            continue
        parts.append((round(x), _glyph(char, unit, pen)))
        x += (_NARROW.get(char, 4) + _GAP) * unit + pen * 0.25
    width = max((at + part.shape[1] for at, part in parts), default=1)
    rows = max((part.shape[0] for _, part in parts), default=1)
    line = np.zeros((rows, width), np.float32)
    for at, part in parts:
        cell = line[: part.shape[0], at : at + part.shape[1]]
        np.maximum(cell, part, out=cell)
    return line
