"""How long to wait before trying again: exponential, capped, with full jitter.

Full jitter (a uniform draw between nothing and the step) spreads the publishers of a whole
site that lost the same relay at the same moment. Pure: the random source is a parameter.
"""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Delays for one sequence of failures.

    Args:
        first_s: upper bound of the first delay, seconds.
        cap_s: upper bound of all.
        draw: uniform numbers in [0, 1).
    """

    def __init__(
        self, first_s: float, cap_s: float, draw: Callable[[], float] = random.random
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._draw = draw
        self._failures = 0

    def next(self) -> float:
        """One more failure; the seconds to wait."""
        bound = min(self._first_s * 2.0 ** min(self._failures, 30), self._cap_s)
        self._failures += 1
        return bound * self._draw()

    def reset(self) -> None:
        """It worked."""
        self._failures = 0
