"""Which engine a worker uses."""

from __future__ import annotations

from workers.engines.asyncio_engine import AsyncioEngine
from workers.engines.interface import Engine

__all__ = ["choose_engine"]


def choose_engine(wanted: str) -> Engine:
    """The engine by the name the user chose.

    Args:
        wanted: ``auto`` takes the fastest that this machine allows.

    Raises:
        ValueError: for a name that is no engine.
    """
    if wanted in ("auto", "asyncio"):
        return AsyncioEngine()
    raise ValueError(f"unknown engine {wanted!r}: use auto or asyncio")
