"""Where everything stands in the test pattern, for any picture size.

Designed on 1280x720 and scaled by `Layout.unit`; positions are pixels of the real picture.
Pure arithmetic, shared by the still `backdrop` and the moving `drawing`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Layout"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The geometry of one picture size.

    Attributes:
        width: pixels.
        height: pixels.
        unit: pixels per design pixel.
        x: horizontal centre.
        y: vertical centre of dial and clock.
    """

    width: int
    height: int

    @property
    def unit(self) -> float:
        return min(self.width / 1280, self.height / 720)

    @property
    def x(self) -> float:
        return self.width / 2

    @property
    def y(self) -> float:
        return self.height * 0.41

    @property
    def dial(self) -> float:
        """Radius of the ring of seconds, at the middle of its ticks."""
        return 254 * self.unit

    @property
    def orbit(self) -> float:
        """Radius of the moving dot's way."""
        return 218 * self.unit

    @property
    def panel(self) -> tuple[float, float, float, float]:
        """Edges of the dark plate behind the clock: left, top, right, bottom."""
        half = 420 * self.unit
        return self.x - half, self.y - 92 * self.unit, self.x + half, self.y + 104 * self.unit

    @property
    def progress(self) -> tuple[float, float, float, float]:
        """Edges of the bar that fills once a second."""
        left, _, right, _ = self.panel
        top = self.y + 48 * self.unit
        return left + 40 * self.unit, top, right - 40 * self.unit, top + 8 * self.unit

    @property
    def count_y(self) -> float:
        """Top of the small print below the clock."""
        return self.y + 69 * self.unit

    @property
    def count_height(self) -> float:
        """Height of the small print's capitals."""
        return 22 * self.unit

    @property
    def bars(self) -> tuple[float, float]:
        """Top and bottom of the colour bars; the greys follow below them."""
        return self.height - 150 * self.unit, self.height - 82 * self.unit

    @property
    def greys(self) -> tuple[float, float]:
        """Top and bottom of the row of greys."""
        return self.height - 78 * self.unit, self.height - 46 * self.unit

    def on_circle(self, radius: float, turn: float) -> tuple[float, float]:
        """A point on a circle around the dial's centre; ``turn`` 0 is up, clockwise."""
        angle = turn * math.tau
        return self.x + radius * math.sin(angle), self.y - radius * math.cos(angle)
