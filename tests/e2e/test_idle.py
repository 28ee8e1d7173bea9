"""A relay with nothing to do does nothing: it is woken by events, it does not look for them."""

from __future__ import annotations

import asyncio
from typing import Final

import psutil
import pytest

from tests.e2e.conftest import StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import run
from workers.table import Column

VIEWERS: Final = 100
OBSERVED: Final = 10.0
"""Seconds."""
CPU_SHARE: Final = 0.005
"""Of one core, for each worker."""
SWITCHES: Final = 20
"""Voluntary context switches in a second, for each worker: how often it was woken."""


@pytest.mark.slow
def test_idle_workers_sleep(start_relay: StartRelay) -> None:
    """100 viewers wait for a stream that nobody publishes."""
    relay = start_relay()

    async def scenario() -> None:
        async with Crowd.of(VIEWERS, relay.address, "nothing") as crowd:
            await crowd.arrive()
            before = _usage(relay)
            await asyncio.sleep(OBSERVED)
            after = _usage(relay)
            assert before.keys() == after.keys()
            cpu = {pid: after[pid][0] - before[pid][0] for pid in after}
            switches = {pid: (after[pid][1] - before[pid][1]) / OBSERVED for pid in after}
            print(f"seconds of processor: {cpu}; wake-ups a second: {switches}")
            assert max(cpu.values()) <= CPU_SHARE * OBSERVED
            assert max(switches.values()) < SWITCHES
            assert not [visit for visit in crowd.visits if visit.closed]

    run(scenario())
    assert not relay.errors()


def _usage(relay: RelayProcess) -> dict[int, tuple[float, int]]:
    """Processor seconds and voluntary context switches of each worker."""
    found = {}
    for row in relay.rows():
        process = psutil.Process(row[Column.PID])
        times = process.cpu_times()
        found[process.pid] = (times.user + times.system, process.num_ctx_switches().voluntary)
    return found
