"""Waiting for conditions, never for time; and running a scenario in a fast loop.

A condition is looked at again and again until it holds. The limit is a watchdog: it only
ends a test that would hang, so it is far above what a slow machine needs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

__all__ = ["WATCHDOG", "run", "until", "wait_until"]

T = TypeVar("T")

WATCHDOG: Final = 45.0
"""Seconds; below the test's own limit, so that the condition is named in the failure."""
_PAUSE: Final = 0.02


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario to its end; many viewers cost least in uvloop."""
    try:
        import uvloop
    except ImportError:
        # There is none on Windows.
        return asyncio.run(scenario)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(scenario)


def wait_until(
    condition: Callable[[], T], what: str | Callable[[], str], *, limit: float = WATCHDOG
) -> T:
    """Block until ``condition`` gives something true, and return that.

    Args:
        condition: looked at every few milliseconds.
        what: the condition in words, for the failure.
        limit: watchdog, seconds.
    """
    deadline = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(what, limit, value))
        time.sleep(_PAUSE)
    return value


async def until(
    condition: Callable[[], T], what: str | Callable[[], str], *, limit: float = WATCHDOG
) -> T:
    """As `wait_until`, while the loop goes on."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(what, limit, value))
        await asyncio.sleep(_PAUSE)
    return value


def _complaint(what: str | Callable[[], str], limit: float, value: object) -> str:
    words = what if isinstance(what, str) else what()
    return f"waited {limit:g} s in vain for: {words} (last: {value!r})"
