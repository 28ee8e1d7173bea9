"""Workers die. Nobody is refused, nobody else notices, everybody is back with a picture."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from dataclasses import dataclass
from typing import Final

import pytest

from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.relay import Relay
from tests.e2e.viewers import Viewer, Visit
from tests.e2e.waiting import run, until
from workers.table import Column, WorkerStats

VIEWERS: Final = 200
WORKERS: Final = 4
KILLS: Final = 30
PACE: Final = 1.0
"""Seconds between two kills."""
FPS: Final = 15
KEY_EVERY: Final = 15
SIZE: Final = 2000


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill -9 of a worker.

    Attributes:
        at: monotonic seconds; when it was ordered.
        dead: when the supervisor had found it dead; its successor does not serve yet.
    """

    at: float
    dead: float
    slot: int
    pid: int

    def explains(self, visit: Visit) -> bool:
        """Whether this kill ended that connection, if anything did."""
        # Without a hello it ended before the worker could say who it was.
        during = visit.asked < self.dead and visit.closed > self.at
        return during and visit.worker in (self.slot, -1)


async def _kill(relay: Relay, row: WorkerStats) -> Kill:
    pid = row[Column.PID]
    at = time.monotonic()
    relay.kill_worker(pid)
    await until(lambda: all(each[Column.PID] != pid for each in relay.rows()), "its death")
    return Kill(at, time.monotonic(), row[Column.SLOT], pid)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_random_workers_killed_every_second(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Half a minute of kill -9 under 200 viewers of a local and a remote stream."""
    relay = start_relay(workers=WORKERS)
    publish("shm", "local", fps=FPS, size=SIZE, key_every=KEY_EVERY)
    remote = publish(
        *("ws", "remote"),
        url=f"ws://127.0.0.1:{relay.port}",
        fps=FPS,
        size=SIZE,
        key_every=KEY_EVERY,
    )
    supervisor = relay.pid
    kills = run(_killing_spree(relay))

    assert relay.pid == supervisor
    assert relay.running
    log = relay.log()
    for kill in kills:
        assert f"worker {kill.slot} (pid {kill.pid}) was killed by SIGKILL" in log
    for slot in range(WORKERS):
        deaths = sum(kill.slot == slot for kill in kills)
        starts = len(relay.log_lines(f"worker {slot} ", "is ready after"))
        # One that was killed before it was ready has not been ready.
        early = sum(
            f"worker {slot} (pid {kill.pid}) is ready" not in log
            for kill in kills
            if kill.slot == slot
        )
        assert starts == 1 + deaths - early
    assert not relay.errors()
    print(f"the remote publisher was live {remote.count('live')} times")
    assert not remote.count("refused")


async def _killing_spree(relay: Relay) -> list[Kill]:
    async with Crowd.of(VIEWERS, relay.address, "local", "remote") as crowd:
        await crowd.arrive()
        await crowd.all_watching()
        kills = []
        for _ in range(KILLS):
            kills.append(await _kill(relay, random.choice(relay.rows())))
            await asyncio.sleep(PACE)
        await until(lambda: len(relay.ready_rows()) == WORKERS, "all workers to be back")
        await crowd.all_watching()
        _report(crowd, kills)
        assert crowd.refused == 0
        assert not crowd.violations()
        assert not crowd.gaps()
        unexplained = [
            visit
            for visit in crowd.visits
            if visit.closed and not any(kill.explains(visit) for kill in kills)
        ]
        assert not unexplained
        assert all(visit.first_key for visit in crowd.visits if visit.first_frame)
        return kills


def _report(crowd: Crowd, kills: list[Kill]) -> None:
    """Print how long pictures were gone, and how it came to the worst."""
    gone: list[tuple[float, Viewer, int, int]] = []
    for viewer in crowd.viewers:
        shown = [number for number, visit in enumerate(viewer.visits) if visit.first_frame]
        for lost, back in itertools.pairwise(shown):
            closed = viewer.visits[lost].closed
            cause = max((kill.at for kill in kills if kill.at <= closed), default=closed)
            gone.append((viewer.visits[back].first_frame - cause, viewer, lost, back))
    assert gone, "no viewer was on any of the victims"
    gone.sort(key=lambda each: each[0])
    print(
        f"{len(kills)} kills, {len(gone)} interruptions; from kill to picture "
        f"median {statistics.median(each[0] for each in gone):.3f} s, worst {gone[-1][0]:.3f} s"
    )
    _, viewer, lost, back = gone[-1]
    start = viewer.visits[lost].closed
    print(f"the worst, on {viewer.stream}, in seconds from its end:")
    for visit in viewer.visits[max(0, lost - 3) : back + 1]:
        times = (visit.asked, visit.opened, visit.first_frame, visit.closed)
        words = ("asked", "opened", "picture", "closed")
        known = [f"{word} {at - start:.3f}" for word, at in zip(words, times, strict=True) if at]
        print("  ", *known, visit.code, visit.reason)


def test_worker_of_a_remote_publisher_killed(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Viewers on other workers keep their sockets and go on at the new first key frame."""
    relay = start_relay(workers=3)
    remote = publish("ws", "remote", url=f"ws://127.0.0.1:{relay.port}", fps=FPS, key_every=30)

    async def scenario() -> None:
        async with Crowd.of(30, relay.address, "remote") as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            epoch = crowd.viewers[0].checker.epoch
            [row] = [row for row in relay.rows() if row[Column.PUBLISHERS]]
            kill = await _kill(relay, row)
            await asyncio.to_thread(remote.wait_live, 2)
            await until(
                lambda: all(each.checker.epoch > epoch for each in crowd.viewers),
                "everybody to be told of the new publisher",
            )
            await crowd.all_watching()
            assert not crowd.violations()
            assert not crowd.gaps()
            assert crowd.refused == 0
            stayed = [each for each in crowd.viewers if len(each.visits) == 1]
            assert all(each.visit.worker != kill.slot for each in stayed)
            moved = [each.visits[0] for each in crowd.viewers if len(each.visits) > 1]
            assert len(stayed) > 10 and len(moved) > 5
            assert all(kill.explains(visit) for visit in moved)

    run(scenario())
    assert remote.events[1]["event"] == "lost"
    assert not remote.count("refused"), remote.events
    assert not relay.errors()


def test_worker_killed_amid_a_burst_of_connections(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """kill -9 while 500 connect: none is refused, and only the victim's own are reset."""
    relay = start_relay(workers=WORKERS)
    publish("shm", "cam0", fps=1)

    async def scenario() -> None:
        async with Crowd.of(500, relay.address, "cam0") as crowd:
            for viewer in crowd.viewers:
                viewer.start()
            await until(lambda: sum(each.online for each in crowd.viewers) > 100, "a burst")
            kill = await _kill(relay, relay.rows()[0])
            await crowd.all_online()
            assert crowd.refused == 0
            lost = [visit for visit in crowd.visits if visit.closed]
            assert all(kill.explains(visit) for visit in lost)
            assert len(lost) < 500

    run(scenario())
    assert not relay.errors()
