"""Many viewers with one clock, and what can be said of all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from tests.e2e.viewers import Address, Viewer, Visit
from tests.e2e.waiting import until

__all__ = ["Crowd"]


class Crowd:
    """Many viewers with one clock.

    Attributes:
        viewers: all of them.
    """

    def __init__(self, viewers: Iterable[Viewer]) -> None:
        self.viewers = list(viewers)
        self._clock: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, count: int, address: Address, *streams: str) -> Self:
        """``count`` viewers, evenly on ``streams``."""
        return cls(Viewer(address, streams[index % len(streams)]) for index in range(count))

    async def __aenter__(self) -> Self:
        self._clock = asyncio.get_running_loop().create_task(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._clock is not None:
            self._clock.cancel()
        await asyncio.gather(*(viewer.leave() for viewer in self.viewers))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            for viewer in self.viewers:
                viewer.tick()

    async def arrive(self, *, pause: float = 0.0) -> None:
        """Start everybody, ``pause`` seconds apart; returns when all are online."""
        for viewer in self.viewers:
            viewer.start()
            if pause:
                await asyncio.sleep(pause)
        await self.all_online()

    async def all_online(self) -> None:
        """Wait until everybody is connected."""
        await until(lambda: all(each.online for each in self.viewers), self._missing)

    async def all_watching(self) -> None:
        """Wait until everybody has got a frame on the present connection."""
        await until(lambda: all(each.watching for each in self.viewers), self._missing)

    def _missing(self) -> str:
        online = sum(each.online for each in self.viewers)
        watching = sum(each.watching for each in self.viewers)
        ends = Counter(
            (visit.code, visit.reason or visit.status)
            for each in self.viewers
            for visit in each.visits
            if visit.closed
        )
        return (
            f"{len(self.viewers)} viewers; {online} are online, {watching} have a picture; "
            f"connections ended: {dict(ends)}"
        )

    @property
    def refused(self) -> int:
        """Connection attempts that were refused."""
        return sum(each.refused for each in self.viewers)

    @property
    def visits(self) -> list[Visit]:
        """Everybody's connections."""
        return [visit for each in self.viewers for visit in each.visits]

    def violations(self) -> list[str]:
        """Broken rules of all, each with its viewer's number."""
        return [
            f"viewer {number}: {broken}"
            for number, each in enumerate(self.viewers)
            for broken in each.checker.violations
        ]

    def gaps(self) -> dict[int, int]:
        """Seqs that viewers (by number) did not get within one connection."""
        return {
            number: each.checker.lost
            for number, each in enumerate(self.viewers)
            if each.checker.gaps
        }
