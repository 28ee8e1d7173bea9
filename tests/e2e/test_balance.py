"""Viewers spread evenly over workers, however they come."""

from __future__ import annotations

import os
import signal
from typing import Final

import pytest

from tests.e2e.conftest import StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import run, until
from workers.table import Column

VIEWERS: Final = 400
EVEN: Final = 1.1
"""Viewers of the fullest worker over those of the emptiest."""


@pytest.mark.parametrize("pause", [0.002, 0.0], ids=["trickle", "burst"])
def test_viewers_are_spread_evenly(start_relay: StartRelay, pause: float) -> None:
    """400 viewers on 4 workers, one after the other or all at once."""
    relay = start_relay()

    async def scenario() -> None:
        async with Crowd.of(VIEWERS, relay.address, "nothing") as crowd:
            await crowd.arrive(pause=pause)
            await _settled(relay, VIEWERS)
            assert _unevenness(relay) <= EVEN, _viewers(relay)
            assert crowd.refused == 0
            # Half of them leave and as many come: open connections count, not accepts.
            for viewer in crowd.viewers[::2]:
                await viewer.leave()
            await _settled(relay, VIEWERS // 2)
            async with Crowd.of(VIEWERS // 2, relay.address, "nothing") as others:
                await others.arrive(pause=pause)
                await _settled(relay, VIEWERS)
                assert _unevenness(relay) <= EVEN, _viewers(relay)

    run(scenario())
    assert not relay.errors()


def test_restarted_worker_fills_up_first(start_relay: StartRelay) -> None:
    """An empty worker among full ones takes all newcomers until it is level."""
    relay = start_relay()

    async def scenario() -> None:
        async with Crowd.of(VIEWERS // 2, relay.address, "nothing") as crowd:
            for viewer in crowd.viewers:
                viewer.faithful = False
            await crowd.arrive()
            os.kill(relay.rows()[2][Column.PID], signal.SIGKILL)
            await until(
                lambda: len(relay.ready_rows()) == 4 and min(_viewers(relay)) == 0,
                "an empty worker",
            )
            left = sum(_viewers(relay))
            assert 0 < left < VIEWERS // 2
            async with Crowd.of(VIEWERS // 2, relay.address, "nothing") as others:
                await others.arrive()
                await _settled(relay, left + VIEWERS // 2)
                assert _unevenness(relay) <= EVEN, _viewers(relay)
                assert others.refused == 0

    run(scenario())
    assert not relay.errors()


def _viewers(relay: RelayProcess) -> list[int]:
    return [row[Column.VIEWERS] for row in relay.ready_rows()]


def _unevenness(relay: RelayProcess) -> float:
    counts = _viewers(relay)
    assert len(counts) == 4
    return max(counts) / max(1, min(counts))


async def _settled(relay: RelayProcess, count: int) -> None:
    await until(
        lambda: sum(_viewers(relay)) == count, lambda: f"{count} viewers; {_viewers(relay)}"
    )
