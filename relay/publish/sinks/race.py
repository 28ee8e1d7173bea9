"""Waits for the first of two things. The other is cancelled and seen to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["race"]

T = TypeVar("T")


async def race(main: Coroutine[Any, Any, T], other: Coroutine[Any, Any, object]) -> T | None:
    """Run both until one is done.

    Returns:
        What ``main`` returned, or None when ``other`` was first.

    Raises:
        Exception: what the finished one raised; ``main``'s when both are done.
    """
    first, second = asyncio.ensure_future(main), asyncio.ensure_future(other)
    try:
        await asyncio.wait((first, second), return_when=asyncio.FIRST_COMPLETED)
        finished = first.done()
    finally:
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
    if finished:
        return first.result()
    second.result()
    return None
