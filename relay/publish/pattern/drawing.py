"""Draws the moving part of the test pattern over its still backdrop.

A viewer can judge from it: the wall clock at capture (compare with your own), smoothness
(a dot in orbit, a bar that fills once a second), colours, greys, edges, and the frame
number, as text for people and as a strip for machines. Only small patches change from
frame to frame, so drawing costs a fraction of encoding.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from relay.publish.pattern.backdrop import PANEL, SECONDS, SOFT, paint_backdrop
from relay.publish.pattern.canvas import Canvas, Rect, Rgb, to_yuv
from relay.publish.pattern.glyphs import Mask, text_mask
from relay.publish.pattern.layout import Layout
from relay.publish.pattern.strip import draw_frame_number

__all__ = ["Pattern"]

_WHITE: Rgb = (245, 245, 245)
_ACCENT: Rgb = (45, 212, 191)
_TRACK: Rgb = (48, 48, 48)
_TICK: Rgb = (86, 112, 152)
_NIGHT: Rgb = (27, 50, 96)  # the backdrop where the dot runs; its tail fades into this
_ORBIT_S = 2.0  # one round of the dot
_TAIL = 28  # ever smaller dots behind it
_TAIL_STEP = 0.0065  # turns between them


class _Digits:
    """Ready luma pictures of characters on the panel, all in cells of one size."""

    def __init__(self, height: float, weight: float, colour: Rgb, advance: float) -> None:
        paper, ink = to_yuv(PANEL)[0], to_yuv(colour)[0]
        masks = {char: text_mask(char, height, weight) for char in "0123456789:."}
        rows = max(mask.shape[0] for mask in masks.values())
        self.cells: dict[str, NDArray[np.uint8]] = {}
        for char, mask in masks.items():
            wide = max(round(height * (advance if char.isdigit() else advance * 0.45)), 1)
            cell = np.zeros((rows, wide), np.float32)
            left = max((wide - mask.shape[1]) // 2, 0)
            part = cell[: mask.shape[0], left : left + mask.shape[1]]
            part[:] = mask[:, : part.shape[1]]
            self.cells[char] = np.rint(paper + (ink - paper) * cell).astype(np.uint8)

    def width(self, text: str) -> int:
        """Pixels that ``text`` takes."""
        return sum(self.cells[char].shape[1] for char in text)

    def draw(self, canvas: Canvas, text: str, left: float, top: float) -> None:
        x = round(left)
        for char in text:
            cell = self.cells[char]
            canvas.stamp(cell, x, round(top))
            x += cell.shape[1]


class Pattern:
    """A test pattern of one size.

    Args:
        width: pixels, even.
        height: pixels, even.
        title: shown at the top left, such as the stream's name.
        note: shown at the top right, such as size and rate.

    Raises:
        ValueError: for odd or tiny sizes.
    """

    def __init__(self, width: int, height: int, title: str = "", note: str = "") -> None:
        if width % 2 or height % 2 or width < 64 or height < 64:
            raise ValueError(
                f"a test pattern must be even and at least 64x64, not {width}x{height}"
            )
        self._layout = layout = Layout(width, height)
        unit = layout.unit
        zone = time.strftime("%z", time.localtime())
        zone = f"UTC{zone[:3]}:{zone[3:]}" if zone.strip("+-0") else "UTC"
        self._canvas = Canvas(paint_backdrop(layout, title, note, zone))
        self._clock = _Digits(92 * unit, 0.13, _WHITE, 0.80)
        self._count = _Digits(layout.count_height, 0.14, SOFT, 0.86)
        self._panel = self._canvas.rect(*layout.panel)
        self._dot = _dot(15 * unit)
        self._tail = [_tail(step / _TAIL, 15 * unit) for step in range(1, _TAIL + 1)]
        self._tick = _dot(7 * unit)
        self._touched: list[Rect] = []
        self._second = -1
        self._time = ""

    def draw(self, number: int, unix_us: int) -> NDArray[np.uint8]:
        """Draw frame ``number``, captured at ``unix_us`` (Unix time in microseconds).

        Returns:
            A yuv420p array that is valid until the next call.
        """
        second, fraction_us = divmod(unix_us, 1_000_000)
        if second != self._second:
            self._second = second
            local = time.localtime(second)
            self._time = time.strftime("%H:%M:%S", local)
            self._draw_ticks(local.tm_sec)
        self._draw_orbit(unix_us)
        self._draw_panel(f"{self._time}.{fraction_us // 1000:03d}", fraction_us, number)
        draw_frame_number(self._canvas.planes[0], number)
        return self._canvas.data

    def _draw_ticks(self, now: int) -> None:
        """The ring of seconds: those of this minute that have passed are lit."""
        half = self._tick.shape[0] / 2
        for index in range(SECONDS):
            x, y = self._layout.on_circle(self._layout.dial, index / SECONDS)
            left, top = round(x - half), round(y - half)
            size = self._tick.shape[0]
            self._canvas.restore(self._canvas.rect(left - 2, top - 2, left + size, top + size))
            self._canvas.blend(self._tick, left, top, _ACCENT if index <= now else _TICK)

    def _draw_orbit(self, unix_us: int) -> None:
        for rect in self._touched:
            self._canvas.restore(rect)
        self._touched.clear()
        turn = unix_us / 1e6 % _ORBIT_S / _ORBIT_S
        for step in range(_TAIL, 0, -1):
            mask, colour = self._tail[step - 1]
            self._place(mask, turn - step * _TAIL_STEP, colour)
        self._place(self._dot, turn, _WHITE)

    def _place(self, mask: Mask, turn: float, colour: Rgb) -> None:
        x, y = self._layout.on_circle(self._layout.orbit, turn)
        half = mask.shape[0] / 2
        self._touched.append(self._canvas.blend(mask, round(x - half), round(y - half), colour))

    def _draw_panel(self, clock: str, fraction_us: int, number: int) -> None:
        canvas, layout = self._canvas, self._layout
        canvas.restore(self._panel)
        unit = layout.unit
        self._clock.draw(
            canvas, clock, layout.x - self._clock.width(clock) / 2, layout.y - 62 * unit
        )
        left, top, right, bottom = layout.progress
        canvas.fill(canvas.rect(left, top, right, bottom), _TRACK)
        reached = left + (right - left) * fraction_us / 1e6
        canvas.fill(canvas.rect(left, top, reached, bottom), _ACCENT)
        # The word in front of the number is five letters of the backdrop.
        self._count.draw(canvas, f"{number:08d}", left + 5.6 * layout.count_height, layout.count_y)


def _dot(radius: float) -> Mask:
    size = int(radius + 1.5) * 2
    ys, xs = np.mgrid[0:size, 0:size].astype(np.float32) - (size - 1) / 2
    mask: Mask = np.clip(radius - np.hypot(xs, ys) + 0.5, 0, 1).astype(np.float32)
    return mask


def _tail(far: float, radius: float) -> tuple[Mask, Rgb]:
    """A dot of the tail; ``far`` is 0 at the head and 1 at the end."""
    near = 1 - far
    colour = tuple(n + (a - n) * near for a, n in zip(_ACCENT, _NIGHT, strict=True))
    return _dot(radius * (0.25 + 0.7 * near)), (colour[0], colour[1], colour[2])
