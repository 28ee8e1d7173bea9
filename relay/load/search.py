"""Searches for the highest level that holds: doubles it until one breaks, then bisects. Pure."""

from __future__ import annotations

from typing import Final

__all__ = ["LevelSearch"]

_PRECISION: Final = 0.05


class LevelSearch:
    """A search between 1 and ``most``.

    Args:
        first: level to begin with.
        most: highest level that is tried.

    Attributes:
        best: highest level that held; 0: none did.
        broke: lowest level that broke; None: none did.
    """

    def __init__(self, first: int, most: int) -> None:
        self._first = min(first, most)
        self._most = most
        self.best = 0
        self.broke: int | None = None

    @property
    def next(self) -> int | None:
        """Level to try; None: the search is over."""
        if self.broke is None:
            level = min(self.best * 2 or self._first, self._most)
            return level if level > self.best else None
        if self.broke - self.best <= max(1, round(self.best * _PRECISION)):
            return None
        return (self.best + self.broke) // 2

    def note(self, level: int, *, held: bool) -> None:
        """How it went at a level."""
        if held:
            self.best = max(self.best, level)
        else:
            self.broke = level if self.broke is None else min(self.broke, level)
