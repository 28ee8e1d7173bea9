"""Viewers of a cluster, checked when they leave."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from tests.e2e.viewers import Viewer

__all__ = ["watching"]


@contextlib.asynccontextmanager
async def watching(*viewers: Viewer, later: Viewer | None = None) -> AsyncIterator[None]:
    """Watch; afterwards every frame was intact and in order, and nobody lost his connection.

    Args:
        *viewers: who watches.
        later: one more, whom the scenario starts.
    """
    everybody = (*viewers, *([later] if later else []))
    for viewer in viewers:
        viewer.start()
    try:
        yield
    finally:
        for viewer in everybody:
            await viewer.leave()
    for viewer in everybody:
        assert viewer.checker.violations == []
        assert len(viewer.visits) == 1
