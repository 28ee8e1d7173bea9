"""The part of the test pattern that never moves, painted once in RGB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relay.publish.pattern.canvas import Rgb
from relay.publish.pattern.glyphs import Mask, text_mask
from relay.publish.pattern.layout import Layout
from relay.publish.pattern.strip import strip_height

__all__ = ["PANEL", "SECONDS", "SOFT", "paint_backdrop"]

PANEL: Rgb = (11, 11, 11)
"""The plate behind the clock is without colour, so digits change luma only."""
SOFT: Rgb = (160, 160, 160)
"""Small print on the plate."""
SECONDS = 60
_TOP: Rgb = (13, 20, 44)
_BOTTOM: Rgb = (23, 43, 78)
_GLOW: Rgb = (46, 92, 150)
_LINE: Rgb = (120, 160, 215)
_LABEL: Rgb = (205, 216, 232)
_BARS: tuple[Rgb, ...] = (
    (191, 191, 191),
    (191, 191, 0),
    (0, 191, 191),
    (0, 191, 0),
    (191, 0, 191),
    (191, 0, 0),
    (0, 0, 191),
)
"""75 % colour bars in their usual order."""
_GREY_STEPS = 16

_Picture = NDArray[np.float32]


def paint_backdrop(layout: Layout, title: str, note: str, zone: str) -> _Picture:
    """Paint the still part.

    Args:
        layout: the geometry.
        title: the line at the top left.
        note: the line at the top right.
        zone: what the clock shows, such as ``UTC+02:00``.

    Returns:
        RGB from 0 to 255, shape (height, width, 3).
    """
    picture = _sky(layout)
    _grid(picture, layout)
    _dial(picture, layout)
    _plate(picture, layout)
    _bars(picture, layout)
    _corners(picture, layout)
    unit = layout.unit
    edge = 56 * unit
    _label(picture, text_mask(title, 30 * unit, 0.15), edge, edge, _LABEL)
    mask = text_mask(note, 20 * unit, 0.14)
    right = layout.width - edge - mask.shape[1]
    if right > edge + len(title) * 30 * unit:
        _label(picture, mask, right, edge + 5 * unit, _LABEL)
    left, _, right, _ = layout.progress
    _label(picture, text_mask("frame", layout.count_height, 0.14), left, layout.count_y, SOFT)
    mask = text_mask(zone, layout.count_height, 0.14)
    _label(picture, mask, right - mask.shape[1], layout.count_y, SOFT)
    picture[-strip_height(layout.height) :] = 128  # no colour behind the strip's blocks
    return picture


def _sky(layout: Layout) -> _Picture:
    ys, xs = np.mgrid[0 : layout.height, 0 : layout.width].astype(np.float32)
    down = (ys / layout.height)[..., None]
    picture: _Picture = (
        np.array(_TOP, np.float32) * (1 - down) + np.array(_BOTTOM, np.float32) * down
    )
    far = np.hypot((xs - layout.x) / (620 * layout.unit), (ys - layout.y) / (420 * layout.unit))
    glow = (np.clip(1 - far, 0, 1) ** 2 * 0.6)[..., None]
    picture += (np.array(_GLOW, np.float32) - picture) * glow
    return picture


def _grid(picture: _Picture, layout: Layout) -> None:
    step = 80 * layout.unit
    thick = max(round(layout.unit), 1)
    for count in range(-20, 21):
        for axis, middle in ((1, layout.width / 2), (0, layout.height / 2)):
            at = round(middle + count * step)
            if 0 <= at < picture.shape[axis]:
                line = picture[:, at : at + thick] if axis else picture[at : at + thick]
                line += (np.array(_LINE, np.float32) - line) * 0.10


def _dial(picture: _Picture, layout: Layout) -> None:
    ys, xs = np.mgrid[0 : layout.height, 0 : layout.width].astype(np.float32)
    radius = np.hypot(xs - layout.x, ys - layout.y)
    ring = np.clip(1.6 * layout.unit - np.abs(radius - layout.orbit) + 0.5, 0, 1) * 0.35
    picture += (np.array(_LINE, np.float32) - picture) * ring[..., None]


def _plate(picture: _Picture, layout: Layout) -> None:
    left, top, right, bottom = layout.panel
    corner = 22 * layout.unit
    ys, xs = np.mgrid[0 : layout.height, 0 : layout.width].astype(np.float32)
    dx = np.maximum(np.maximum(left + corner - xs, xs - right + corner), 0)
    dy = np.maximum(np.maximum(top + corner - ys, ys - bottom + corner), 0)
    cover = np.clip(corner - np.hypot(dx, dy) + 0.5, 0, 1)[..., None]
    picture += (np.array(PANEL, np.float32) - picture) * cover


def _bars(picture: _Picture, layout: Layout) -> None:
    margin = 56 * layout.unit
    span = layout.width - 2 * margin
    for edges, colours in (
        (layout.bars, _BARS),
        (layout.greys, [(grey * 255 / (_GREY_STEPS - 1),) * 3 for grey in range(_GREY_STEPS)]),
    ):
        top, bottom = (round(edge) for edge in edges)
        for index, colour in enumerate(colours):
            left = round(margin + index * span / len(colours))
            right = round(margin + (index + 1) * span / len(colours))
            picture[top:bottom, left:right] = colour


def _corners(picture: _Picture, layout: Layout) -> None:
    """Brackets near the corners: whoever sees all four sees the whole picture."""
    edge, size = round(20 * layout.unit), round(44 * layout.unit)
    thick = max(round(4 * layout.unit), 1)
    bottom = layout.height - round(14 * layout.unit)
    for view in (
        picture[:bottom],
        picture[:bottom, ::-1],
        picture[:bottom][::-1],
        picture[:bottom][::-1, ::-1],
    ):
        view[edge : edge + thick, edge : edge + size] = _LABEL
        view[edge : edge + size, edge : edge + thick] = _LABEL


def _label(picture: _Picture, mask: Mask, left: float, top: float, colour: Rgb) -> None:
    x, y = max(round(left), 0), max(round(top), 0)
    cell = picture[y : y + mask.shape[0], x : x + mask.shape[1]]
    cover = mask[: cell.shape[0], : cell.shape[1], None]
    cell += (np.array(colour, np.float32) - cell) * cover
