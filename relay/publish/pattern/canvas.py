"""A picture in planar YUV 4:2:0 that can be painted cheaply, and taken back.

A still background is painted once in RGB. Afterwards only small patches change: `blend`
puts a colour through a mask, `restore` copies a rectangle of the background back. Colours
are BT.709, limited range. Everything is clipped to the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relay.publish.pattern.glyphs import Mask

__all__ = ["Canvas", "Rect", "Rgb", "to_yuv"]

Rgb = tuple[float, float, float]
"""Red, green, blue from 0 to 255."""
Plane = NDArray[np.uint8]

# Rows of the BT.709 matrix for full-range RGB to limited-range YUV.
_MATRIX = np.array(
    [
        [0.18259, 0.61423, 0.06201],
        [-0.10064, -0.33857, 0.43922],
        [0.43922, -0.39894, -0.04027],
    ],
    np.float32,
)
_OFFSET = np.array([16, 128, 128], np.float32)


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle with even corners, so that it covers whole chroma samples."""

    left: int
    top: int
    right: int
    bottom: int


def to_yuv(colour: Rgb) -> tuple[int, int, int]:
    """A colour as Y, U, V bytes."""
    y, u, v = np.rint(_MATRIX @ np.array(colour, np.float32) + _OFFSET).astype(int).tolist()
    return y, u, v


class Canvas:
    """One picture and its background.

    Args:
        background: RGB from 0 to 255, shape (height, width, 3); both sides even.
    """

    def __init__(self, background: NDArray[np.float32]) -> None:
        self.height, self.width = background.shape[:2]
        yuv = background @ _MATRIX.T + _OFFSET
        small = yuv.reshape(self.height // 2, 2, self.width // 2, 2, 3).mean(axis=(1, 3))
        self.data: Plane = np.empty((self.height * 3 // 2, self.width), np.uint8)
        """The picture, planes below each other: what PyAV calls a yuv420p array."""
        self.planes = self._split(self.data)
        # A little noise hides the steps that 8 bits leave in a dark gradient.
        noise = np.random.default_rng(7).uniform(-0.5, 0.5, yuv.shape[:2]).astype(np.float32)
        self.planes[0][:] = np.rint(yuv[..., 0] + noise)
        self.planes[1][:] = np.rint(small[..., 1])
        self.planes[2][:] = np.rint(small[..., 2])
        self._still = self._split(self.data.copy())

    def _split(self, data: Plane) -> tuple[Plane, Plane, Plane]:
        flat = data.reshape(-1)
        area = self.height * self.width
        chroma = (self.height // 2, self.width // 2)
        return (
            flat[:area].reshape(self.height, self.width),
            flat[area : area * 5 // 4].reshape(chroma),
            flat[area * 5 // 4 :].reshape(chroma),
        )

    def rect(self, left: float, top: float, right: float, bottom: float) -> Rect:
        """The clipped rectangle of whole chroma samples around these edges."""
        return Rect(
            min(max(int(left) // 2 * 2, 0), self.width),
            min(max(int(top) // 2 * 2, 0), self.height),
            min(max(-int(-right // 2) * 2, 0), self.width),
            min(max(-int(-bottom // 2) * 2, 0), self.height),
        )

    def restore(self, rect: Rect) -> None:
        """Copy the background back."""
        for index, (plane, still) in enumerate(zip(self.planes, self._still, strict=True)):
            cut = _cut(rect, index)
            plane[cut] = still[cut]

    def fill(self, rect: Rect, colour: Rgb) -> None:
        """Paint a rectangle."""
        for index, (plane, value) in enumerate(zip(self.planes, to_yuv(colour), strict=True)):
            plane[_cut(rect, index)] = value

    def blend(self, mask: Mask, left: int, top: int, colour: Rgb) -> Rect:
        """Paint ``colour`` through ``mask``, its corner at even ``left``, ``top``.

        Returns:
            What was touched, for `restore`.
        """
        left, top = left // 2 * 2, top // 2 * 2
        rect = self.rect(left, top, left + mask.shape[1], top + mask.shape[0])
        height, width = rect.bottom - rect.top, rect.right - rect.left
        if height <= 0 or width <= 0:
            return rect
        cover = np.zeros((height, width), np.float32)
        part = mask[rect.top - top :, rect.left - left :][:height, :width]
        cover[: part.shape[0], : part.shape[1]] = part
        small = cover.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
        for index, (plane, value) in enumerate(zip(self.planes, to_yuv(colour), strict=True)):
            cell = plane[_cut(rect, index)]
            share = small if index else cover
            cell[:] = cell + (value - cell.astype(np.float32)) * share + 0.5
        return rect

    def stamp(self, luma: Plane, left: int, top: int) -> None:
        """Copy ready luma over the picture, leaving its chroma."""
        width, height = self.width - left, self.height - top
        if left >= 0 and top >= 0 and width > 0 and height > 0:
            part = luma[:height, :width]
            self.planes[0][top : top + part.shape[0], left : left + part.shape[1]] = part


def _cut(rect: Rect, index: int) -> tuple[slice, slice]:
    scale = 2 if index else 1
    return (
        slice(rect.top // scale, rect.bottom // scale),
        slice(rect.left // scale, rect.right // scale),
    )
