"""Somebody who watches quietly while others misbehave, and must not notice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e.crowd import Crowd
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import until

__all__ = ["bystanders"]

_MORE = 5


@asynccontextmanager
async def bystanders(relay: RelayProcess, stream: str, *, query: str = "") -> AsyncIterator[Crowd]:
    """One viewer for each worker; on leaving, none of them may have missed anything."""
    async with Crowd.of(len(relay.rows()), relay.address, stream) as crowd:
        for viewer in crowd.viewers:
            viewer.query = query
        await crowd.arrive()
        await crowd.all_watching()
        yield crowd
        seen = [each.checker.frames for each in crowd.viewers]
        await until(
            lambda: all(
                each.checker.frames >= before + _MORE
                for each, before in zip(crowd.viewers, seen, strict=True)
            ),
            "bystanders to be sent more",
        )
        assert not [visit for visit in crowd.visits if visit.closed]
        assert not crowd.gaps()
        assert not crowd.violations()
