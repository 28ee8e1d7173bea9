"""The publisher's wall clock, in the wire's unit."""

from __future__ import annotations

import time

__all__ = ["now_us"]


def now_us() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1000
