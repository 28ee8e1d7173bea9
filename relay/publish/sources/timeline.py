"""One continuous media clock over loops, reopened sources and broken time stamps.

Invariant: decode times handed out never go back, and presentation times keep the distance
to them that the source gave. Pure: no clock of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Stamp", "Timeline"]

_US = 1_000_000
_MAX_JUMP_US = 30 * _US
"""A larger step between two frames is a broken clock, not a long frame."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where a frame lies on the continuous clock, in microseconds."""

    dts_us: int
    pts_us: int


class Timeline:
    """Maps a source's time stamps to the continuous clock."""

    def __init__(self, frame_us: int = 40_000) -> None:
        """
        Args:
            frame_us: how long a frame lasts when the source does not tell.
        """
        self._frame_us = frame_us
        self._offset: int | None = None  # continuous = source + offset
        self._last: int | None = None  # last dts handed out
        self._step = frame_us  # what the last frame lasted

    def restart(self, frame_us: int | None = None) -> None:
        """The source starts anew; its next frame follows the last one directly."""
        if frame_us:
            self._frame_us = self._step = frame_us
        self._offset = None

    def place(
        self, pts: int | None, dts: int | None, time_base: Fraction, duration: int | None = None
    ) -> Stamp:
        """Place the next frame, given in decode order.

        Args:
            pts: presentation time in ``time_base`` units, None when unknown.
            dts: decode time in ``time_base`` units, None when unknown.
            time_base: seconds in one unit.
            duration: the frame's length in ``time_base`` units, None or 0 when unknown.
        """
        following = 0 if self._last is None else self._last + self._step
        stamp = dts if dts is not None else pts
        if stamp is None:
            source = None if self._offset is None else following - self._offset
        else:
            source = int(stamp * time_base * _US)
        if source is None:
            source = following
        if self._offset is None:
            self._offset = following - source if self._last is not None else 0
        elif self._last is not None:
            step = source + self._offset - self._last
            if not 0 <= step <= _MAX_JUMP_US:
                self._offset = following - source
        placed = source + self._offset
        ahead = 0
        if pts is not None and dts is not None:
            ahead = int((pts - dts) * time_base * _US)
            if not 0 <= ahead <= _MAX_JUMP_US:
                ahead = 0
        length = int(duration * time_base * _US) if duration else 0
        if 0 < length <= _MAX_JUMP_US:
            self._step = length
        elif self._last is not None and 0 < placed - self._last <= _US:
            self._step = placed - self._last
        else:
            self._step = self._frame_us
        self._last = placed
        return Stamp(placed, placed + ahead)
