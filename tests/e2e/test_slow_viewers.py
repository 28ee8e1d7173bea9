"""Viewers on bad networks: they get current pictures or are let go, and cost nobody anything."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Final

import pytest

from tests.e2e import wire
from tests.e2e.checker import FrameChecker
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.raw_client import RawClient
from tests.e2e.relay import Relay
from tests.e2e.viewers import Address
from tests.e2e.waiting import run, until
from tests.e2e.wire import MessageReader
from workers.table import Column

FPS: Final = 50
FRAME: Final = 20_000
"""Bytes: 8 Mbit/s."""
SLOW: Final = 62_500
"""Bytes in a second: 500 kbit/s."""
WATCHED: Final = 8.0
"""Seconds of observation."""
MAX_LAG: Final = 1.0
LOW_WATER: Final = 128 * 1024
RECEIVE_BUFFER: Final = 8 * 1024
GROWTH: Final = 6 * 1024 * 1024
"""Bytes that a worker's own memory may grow; the stream brings 8 MB in that time."""


class SlowReader:
    """Reads at a fixed rate and checks what it gets, as the player would.

    Attributes:
        checker: what it received.
    """

    def __init__(self, client: RawClient, behind: bytes) -> None:
        self.checker = FrameChecker()
        self._client = client
        self._reader = MessageReader()
        self._take(behind)

    async def read(self, rate: int) -> None:
        """Read ``rate`` bytes in a second until the connection ends."""
        step = 0.05
        due = time.monotonic()
        while data := await self._client.receive(int(rate * step)):
            self._take(data)
            due = max(due, time.monotonic() - step) + len(data) / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _take(self, data: bytes) -> None:
        for opcode, payload in self._reader.feed(data):
            assert opcode == wire.BINARY, wire.close_code(payload)
            self.checker.message(payload)


@pytest.mark.slow
def test_slow_viewer_gets_current_frames_and_a_stopped_one_is_closed(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """500 kbit/s of an 8 Mbit/s stream; beside one that reads nothing and one that is fast."""
    relay = start_relay("--progress-timeout", "2", "--max-lag", str(MAX_LAG), workers=2)
    publish("shm", "cam0", fps=FPS, size=FRAME, key_every=FPS)
    run(_mixed_company(relay))
    assert not relay.errors()


async def _mixed_company(relay: Relay) -> None:
    async with Crowd.of(4, relay.address, "cam0") as fast:
        await fast.arrive()
        await fast.all_watching()
        memory = relay.own_memory()
        slow = await RawClient.connect(relay.address, receive_buffer=RECEIVE_BUFFER)
        reader = SlowReader(slow, await slow.open("/view/cam0"))
        reading = asyncio.create_task(reader.read(SLOW))
        stopped = await RawClient.connect(relay.address, receive_buffer=RECEIVE_BUFFER)
        await stopped.open("/view/cam0")
        await until(lambda: _total(relay, Column.VIEWERS) == 6, "six viewers")
        await until(
            lambda: _total(relay, Column.CLOSED_STALLED) == 1, "the one that reads nothing to go"
        )
        await until(lambda: stopped.sock.getsockopt(*_SO_ERROR), "its connection to be reset")
        stopped.close()
        begin = time.monotonic()
        await asyncio.sleep(WATCHED)
        assert not reading.done(), "the slow viewer lost its connection"
        growth = {pid: size - memory[pid] for pid, size in relay.own_memory().items()}
        skipped = [each["skipped"] for each in await asyncio.to_thread(relay.workers)]
        reading.cancel()
        slow.close()

        checker = reader.checker
        ages = [age for at, age in checker.ages if at >= begin]
        # What may be under way: the frame that waited, and what lies in the kernel's buffers.
        buffered = LOW_WATER + 2 * RECEIVE_BUFFER + 2 * FRAME
        print(f"slow viewer: {len(ages)} frames, {checker.keys} keys, oldest {max(ages):.2f} s")
        assert not checker.violations
        assert checker.gaps > 0
        assert len(ages) > WATCHED * SLOW / FRAME / 2, "it could have received far more"
        assert max(ages) < MAX_LAG + buffered / SLOW + 2.0
        assert sum(each["network"] for each in skipped) > 0
        assert sum(each["worker"] for each in skipped) == 0
        assert max(growth.values()) < GROWTH, growth
        assert not fast.gaps()
        assert not fast.violations()
        assert not [each for each in fast.visits if each.closed]


_SO_ERROR: Final = (socket.SOL_SOCKET, socket.SO_ERROR)


def _total(relay: Relay, column: Column) -> int:
    return sum(row[column] for row in relay.rows())


@pytest.mark.slow
def test_many_stopped_viewers_cost_constant_memory(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """60 viewers that read nothing for a while do not make a worker keep frames for each."""
    relay = start_relay(
        *("--progress-timeout", "60", "--user-timeout", "60", "--max-lag", str(MAX_LAG)), workers=1
    )
    publish("shm", "cam0", fps=FPS, size=FRAME, key_every=FPS)
    run(_frozen_tabs(relay, 60))
    assert not relay.errors()


async def _frozen_tabs(relay: Relay, count: int) -> None:
    async with Crowd.of(2, relay.address, "cam0") as fast:
        await fast.arrive()
        await fast.all_watching()
        clients = [await _frozen(relay.address) for _ in range(count)]
        seen = fast.viewers[0].checker
        start = seen.frames
        await until(lambda: seen.frames > start + 2 * FPS, "two seconds of video")
        before = relay.own_memory()
        start = seen.frames
        await until(lambda: seen.frames > start + 400, "8 MB of video more")
        growth = {pid: size - before[pid] for pid, size in relay.own_memory().items()}
        assert _total(relay, Column.VIEWERS) == count + 2
        for client in clients:
            client.close()
        assert max(growth.values()) < GROWTH, growth
        assert not fast.gaps()
        assert not fast.violations()


async def _frozen(address: Address) -> RawClient:
    client = await RawClient.connect(address, receive_buffer=RECEIVE_BUFFER)
    await client.open("/view/cam0")
    return client
