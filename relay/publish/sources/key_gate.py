"""Decides when an encoder makes a key frame. Pure: times are parameters.

Two reasons: the group of pictures reached its length, or a viewer asked. Requests are
limited: many viewers may ask at once, and a key frame costs as much as ten others.
"""

from __future__ import annotations

__all__ = ["MIN_REQUEST_INTERVAL_US", "KeyGate"]

MIN_REQUEST_INTERVAL_US = 500_000


class KeyGate:
    """Asked once for each frame.

    Args:
        gop_us: longest distance between key frames, microseconds.
    """

    def __init__(self, gop_us: int) -> None:
        self._gop_us = gop_us
        self._last_us: int | None = None
        self._requested = False

    def request(self) -> None:
        """Somebody needs a key frame; remembered until one is made."""
        self._requested = True

    def due(self, now_us: int) -> bool:
        """Whether the frame captured at ``now_us`` should be a key frame."""
        if self._last_us is None:
            return True
        since = now_us - self._last_us
        return since >= self._gop_us or (self._requested and since >= MIN_REQUEST_INTERVAL_US)

    def made(self, now_us: int) -> None:
        """A key frame was captured at ``now_us``."""
        self._last_us = now_us
        self._requested = False
