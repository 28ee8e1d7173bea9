"""When a viewer comes back: the same rule as the shipped player's. Pure."""

from __future__ import annotations

from typing import Final

__all__ = ["retry_delay"]

_BACKOFF: Final = 0.25
_BACKOFF_CAP: Final = 8.0
_RESTART_SPREAD: Final = 0.5
_BUSY: Final = 2.0


def retry_delay(code: int, attempt: int, draw: float) -> float | None:
    """Seconds until the next attempt; None: do not come back.

    Args:
        code: of the Close frame, 1006 when there was none.
        attempt: failures before this one, since a connection was of use.
        draw: uniform, in [0, 1).
    """
    if code == 1008:
        return None
    if code == 1012 and attempt == 0:
        return draw * _RESTART_SPREAD
    if code == 1013:
        return _BUSY + draw * _BACKOFF_CAP
    return draw * min(_BACKOFF_CAP, _BACKOFF * 2.0 ** min(attempt, 16))
