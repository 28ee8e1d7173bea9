"""Connections for streams: one is always ready, so that a stream that begins need not wait.

Who takes it makes the next one be opened. Many that begin at once wait for theirs, some of which
are opened at a time: more would only all be late. None is opened while the bridge's own
connection to NATS is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import nats.errors

from relay.cluster.complaints import Complaints, words_of
from relay.cluster.connection import Connection
from relay.cluster.counters import ClusterCounters, Counter

__all__ = ["Connections"]

AT_A_TIME: Final = 8
RETRY: Final = 1.0
"""Seconds between two attempts."""


class Connections:
    """See the module.

    Attributes:
        complaints: where trouble with any of them is told.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        complaints: Complaints,
        counters: ClusterCounters,
        fail: Callable[[BaseException], None],
    ) -> None:
        """Prepare; for a running loop.

        Args:
            options: as `connect_options` returns them.
            fail: called with an error that ends the bridge, by whoever uses a connection.
        """
        self.complaints = complaints
        self.fail = fail
        self._options = dict(options)
        self._counters = counters
        self._allowed = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._spare: Connection | None = None
        self._opening: asyncio.Task[None] | None = None

    def allow(self) -> None:
        """NATS can be reached, for the first time or again."""
        self._allowed.set()
        self._provide()

    def forbid(self) -> None:
        """NATS cannot be reached now."""
        self._allowed.clear()

    def _provide(self) -> None:
        if self._spare is not None and self._spare.lost.is_set():
            self._drop_spare()
        if self._spare is None and self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open_spare())
            self._opening.add_done_callback(self._opened)

    async def _open_spare(self) -> None:
        self._spare = await self._open()

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    async def take(self, *, again: bool) -> Connection:
        """A connection, which is the caller's to drop; at once if possible.

        Args:
            again: in place of one that was lost.
        """
        if again and self._allowed.is_set():
            # Else all were lost with NATS, which is counted once.
            self._counters.add(Counter.RECONNECTS)
        spare, self._spare = self._spare, None
        self._provide()
        if spare is not None and not spare.lost.is_set():
            return spare
        return await self._open()

    async def _open(self) -> Connection:
        while True:
            await self._allowed.wait()
            async with self._slots:
                try:
                    return await Connection.open(self._options, self.complaints)
                except (nats.errors.Error, OSError) as exc:
                    self.complaints.say(f"NATS: {words_of(exc)}")
            await asyncio.sleep(RETRY)

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._spare.drop()
            self._spare = None

    def close(self) -> None:
        """Give none any more."""
        if self._opening is not None:
            self._opening.cancel()
        self._drop_spare()
