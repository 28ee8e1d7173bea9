"""Guests that say something about themselves."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import bus


async def facts() -> dict[str, str]:
    """Where and what this runs in."""
    return {
        "platform": sys.platform,
        "loop": type(asyncio.get_running_loop()).__name__,
        "root": str(Path(__file__).parents[3]),
        "imported_from": str(Path(str(bus.__file__)).parents[1]),
    }


def echo(*arguments: Any) -> list[Any]:
    """What it was given."""
    return list(arguments)


def shout() -> int:
    """Repeat lines, louder, until the input ends; their number."""
    print("a complaint", file=sys.stderr)
    lines = 0
    for line in sys.stdin:
        print(line.strip().upper(), flush=True)
        lines += 1
    return lines


def fail() -> float:
    """Raise."""
    return 1 / 0


def hang() -> None:
    """Never return."""
    threading.Event().wait()
