"""Somebody who makes one request after another, so that one comes at the worst moment."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.e2e import wire
from tests.e2e.raw_client import RawClient
from tests.e2e.viewers import Address

__all__ = ["Prober", "probing"]


class Prober:
    """Asks for a page and for a handshake in turn, without a pause.

    Attributes:
        answered: requests that were answered in full.
        failures: what went wrong with others.
        stopped: set it to end.
    """

    def __init__(self, address: Address) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self.stopped = False
        self._address = address

    async def run(self) -> None:
        """Go on until stopped."""
        for number in itertools.count():
            if self.stopped:
                return
            try:
                await self._page() if number % 2 else await self._handshake()
                self.answered += 1
            except (OSError, AssertionError) as exc:
                self.failures.append(f"{time.monotonic():.3f}: {type(exc).__name__}: {exc}")

    async def _page(self) -> None:
        client = await RawClient.connect(self._address)
        try:
            await client.send(b"GET /healthz HTTP/1.1\r\nHost: relay\r\n\r\n")
            answer = await client.to_the_end()
            assert answer.startswith(b"HTTP/1.1 200 "), answer[:80]
        finally:
            client.close()

    async def _handshake(self) -> None:
        client = await RawClient.connect(self._address)
        try:
            await client.open("/view/nothing")
            await client.send(wire.close_frame(1000))
            await client.to_the_end()
        finally:
            client.close()


@asynccontextmanager
async def probing(address: Address) -> AsyncIterator[Prober]:
    """Requests all the while; on leaving, every one of them must have been answered."""
    prober = Prober(address)
    task = asyncio.create_task(prober.run())
    try:
        yield prober
    finally:
        prober.stopped = True
        await task
    print(f"{prober.answered} requests were answered meanwhile")
    assert prober.answered
    assert not prober.failures, prober.failures
