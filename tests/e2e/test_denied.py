"""Where io_uring is denied, the relay says so and serves all the same."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.relay_process import RelayProcess
from tests.e2e.viewers import Address
from tests.e2e.waiting import run, until
from tests.workers.denial import FILTERED, deny_io_uring

WORKERS = 2
FPS = 20


@FILTERED
def test_a_relay_without_io_uring_serves(start_relay: StartRelay, publish: StartPublisher) -> None:
    """As in a container under Docker's own seccomp profile."""

    def start_confined() -> RelayProcess:
        # Of this thread alone, and of what it starts.
        deny_io_uring(errno.EPERM)
        return start_relay(workers=WORKERS)

    with ThreadPoolExecutor(1) as confined:
        relay = confined.submit(start_confined).result()
    publish("shm", "cam0", fps=FPS)
    run(_watch(relay.address))
    assert {row.engine for row in relay.rows()} == {"asyncio"}
    said = [line for line in relay.log().splitlines() if "io_uring" in line]
    assert len(said) == WORKERS
    assert all("allow io_uring_setup and io_uring_enter" in line for line in said)
    assert not relay.errors()


async def _watch(address: Address) -> None:
    async with Crowd.of(20, address, "cam0") as crowd:
        await crowd.arrive()
        await crowd.all_watching()
        await until(
            lambda: all(each.checker.frames > FPS for each in crowd.viewers), "frames for all"
        )
        assert not crowd.gaps()
        assert not crowd.violations()
