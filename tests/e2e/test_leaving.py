"""Viewers leave in every way that there is, and nobody else notices."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.departures import ALL_WAYS, Way
from tests.e2e.raw_client import RawClient
from tests.e2e.relay import Relay
from tests.e2e.viewers import Address
from tests.e2e.waiting import run, until
from workers.table import Column

CONNECTIONS: Final = 500
WATCHERS: Final = 6
AT_ONCE: Final = 100
IMPATIENT: Final = (
    *("--ping-interval", "1", "--ping-timeout", "2", "--progress-timeout", "2"),
    *("--header-timeout", "2", "--close-timeout", "2"),
)


@pytest.mark.slow
def test_f5_storm_leaves_nothing_and_disturbs_nobody(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """500 viewers come and go in all ways; descriptors return, watchers miss no frame."""
    relay = start_relay(*IMPATIENT)
    publish("shm", "cam0", fps=25, size=16_000, key_every=25)
    run(_storm(relay))
    assert not relay.errors()
    assert not relay.log_lines("WARNING")


async def _storm(relay: Relay) -> None:
    async with Crowd.of(WATCHERS, relay.address, "cam0") as watchers:
        await watchers.arrive()
        await watchers.all_watching()
        # Doorbells and other things that are opened once and kept.
        await _leave_in(relay.address, [*ALL_WAYS] * 4)
        await _connections_are(relay, WATCHERS)
        descriptors = relay.descriptors()
        ways = [ALL_WAYS[index % len(ALL_WAYS)] for index in range(CONNECTIONS - 100)]
        await asyncio.gather(_leave_in(relay.address, ways), _reload_tabs(relay.address, 10, 10))
        await _connections_are(relay, WATCHERS)
        await until(
            lambda: all(count <= descriptors[pid] for pid, count in relay.descriptors().items()),
            lambda: f"descriptors to be as before: {descriptors}, now {relay.descriptors()}",
        )
        assert [each for each in watchers.visits if each.closed] == []
        assert not watchers.gaps()
        assert not watchers.violations()
        assert _total(relay, Column.SKIPPED_WORKER) == 0
        assert _total(relay, Column.CLOSED_STALLED) > 0
        assert _total(relay, Column.CLOSED_SILENT) > 0


async def _leave_in(address: Address, ways: list[Way]) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(way: Way) -> None:
        async with turn:
            await way(address, "cam0")

    await asyncio.gather(*(one(way) for way in ways))


async def _reload_tabs(address: Address, tabs: int, reloads: int) -> None:
    """Tabs that are reloaded: the new page connects before the old one has left."""

    async def tab(number: int) -> None:
        old = await RawClient.connect(address)
        await old.open("/view/cam0")
        for reload in range(reloads):
            new = await RawClient.connect(address)
            await new.open("/view/cam0")
            await old.receive(1)
            if (number + reload) % 2:
                old.reset()
            else:
                old.close()
            old = new
        old.close()

    await asyncio.gather(*(tab(number) for number in range(tabs)))


async def _connections_are(relay: Relay, count: int) -> None:
    await until(
        lambda: _total(relay, Column.CONNECTIONS) == _total(relay, Column.VIEWERS) == count,
        lambda: f"{count} connections to be left; the table has {_counts(relay)}",
    )


def _counts(relay: Relay) -> list[tuple[int, int]]:
    return [(row[Column.CONNECTIONS], row[Column.VIEWERS]) for row in relay.rows()]


def _total(relay: Relay, column: Column) -> int:
    return sum(row[column] for row in relay.rows())
