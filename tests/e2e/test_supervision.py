"""Workers that hang or cannot start, a supervisor that is killed, a machine that is full."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from relay.restart_policy import EXIT_CANNOT_START
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.relay_process import RelayProcess
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until, wait_until
from workers.table import Column

FPS = 20
DEATHS = 8


def test_hung_worker_is_replaced_while_the_others_serve(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """SIGSTOP: found by its heartbeat; newcomers go to the others, its viewers come back."""
    relay = start_relay("--hang-timeout", "3")
    publish("shm", "cam0", fps=FPS, key_every=FPS)

    async def scenario() -> None:
        async with (
            Crowd.of(40, relay.address, "cam0") as crowd,
            Crowd.of(40, relay.address, "cam0") as newcomers,
        ):
            await crowd.arrive()
            await crowd.all_watching()
            row = relay.rows()[1]
            pid, slot = row[Column.PID], row[Column.SLOT]
            os.kill(pid, signal.SIGSTOP)
            await newcomers.arrive()
            await newcomers.all_watching()
            await until(
                lambda: relay.log_lines(f"worker {slot} (pid {pid}) hangs (no heartbeat"),
                "the supervisor to find it",
            )
            # The row of the dead one says ready until the supervisor has collected it.
            await until(lambda: pid not in _ready_pids(relay), "its end")
            await until(lambda: len(_ready_pids(relay)) == 4, "a new one in its place")
            await crowd.all_watching()
            for viewer in crowd.viewers:
                assert (len(viewer.visits) > 1) == (viewer.visits[0].worker == slot)
            for each in (crowd, newcomers):
                assert each.refused == 0
                assert not each.gaps()
                assert not each.violations()
            assert not [visit for visit in newcomers.visits if visit.closed]

    run(scenario())
    assert len(relay.errors()) == 1, relay.errors()


@pytest.mark.parametrize("everybody", [False, True], ids=["supervisor", "everybody"])
def test_suspended_relay_goes_on(
    start_relay: StartRelay, publish: StartPublisher, everybody: bool
) -> None:
    """A suspended supervisor, or machine: nobody is taken for hung because of it."""
    relay = start_relay("--hang-timeout", "2", workers=2)
    publish("shm", "cam0", fps=FPS, key_every=FPS)
    pids = [row[Column.PID] for row in relay.rows()]

    async def scenario() -> None:
        async with Crowd.of(8, relay.address, "cam0") as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            seen = crowd.viewers[0].checker
            for pid in [relay.pid, *(pids if everybody else [])]:
                os.kill(pid, signal.SIGSTOP)
            if everybody:
                await until(
                    lambda: min(row.heartbeat_age for row in relay.rows()) > 3.0, "old heartbeats"
                )
            else:
                start = seen.frames
                await until(lambda: seen.frames > start + 3 * FPS, "frames without a supervisor")
                assert (await asyncio.to_thread(relay.get, "/healthz")).status == 200
            for pid in [relay.pid, *pids]:
                os.kill(pid, signal.SIGCONT)
            start = seen.frames
            await until(lambda: seen.frames > start + 3 * FPS, "frames afterwards")
            assert not [visit for visit in crowd.visits if visit.closed]
            assert not crowd.violations()

    run(scenario())
    assert [row[Column.PID] for row in relay.rows()] == pids
    assert not relay.errors()


def test_workers_that_cannot_start_end_the_relay(start_relay: StartRelay, tmp_path: Path) -> None:
    """A broken dependency: a few tries with growing pauses, then one clear line."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "uvloop.py").write_text('raise RuntimeError("built for another machine")\n')
    relay = start_relay(
        *("--restart-backoff", "0.1", "--crash-limit", "4"),
        workers=2,
        env={"PYTHONPATH": str(broken)},
        ready=False,
    )
    assert relay.wait() == 1
    assert "ready on" not in relay.output
    last = relay.log().splitlines()[-1]
    assert re.fullmatch(
        r"relay-supervisor: error: worker [01] did not start 4 times in a row: "
        r"the last time it exited with code 1",
        last,
    ), last
    assert "built for another machine" in relay.log()
    slot = last.split()[3]
    pauses = [
        float(line.rsplit(maxsplit=2)[-2])
        for line in relay.log_lines(f"worker {slot} is started again in")
    ]
    assert pauses == [0.1, 0.2, 0.4]


def test_worker_that_crashes_again_and_again_is_just_restarted(start_relay: StartRelay) -> None:
    """Deaths of a worker that had started never end the relay, however many."""
    relay = start_relay(workers=2)
    for death in range(DEATHS):
        row = next(row for row in relay.ready_rows() if row[Column.SLOT] == 0)
        os.kill(row[Column.PID], signal.SIGSEGV)
        wait_until(
            lambda death=death: any(  # type: ignore[misc]
                row[Column.SLOT] == 0 and row[Column.RESTARTS] == death + 1
                for row in relay.ready_rows()
            ),
            "its restart",
        )
    assert len(relay.log_lines("worker 0", "was killed by SIGSEGV")) == DEATHS
    assert relay.running


@pytest.mark.parametrize("after_a_crash", [False, True])
def test_killed_supervisor_leaves_nothing(
    start_relay: StartRelay, publish: StartPublisher, after_a_crash: bool
) -> None:
    """kill -9 of the supervisor: workers tell their viewers, leave, and clear everything away."""
    relay = start_relay("--demo")
    cam = publish("shm", "cam0", fps=FPS, key_every=FPS)
    if after_a_crash:
        os.kill(relay.rows()[0][Column.PID], signal.SIGKILL)
        wait_until(
            lambda: any(row[Column.RESTARTS] for row in relay.ready_rows()), "its replacement"
        )

    async def scenario() -> None:
        async with Crowd.of(20, relay.address, "cam0") as crowd:
            for viewer in crowd.viewers:
                viewer.faithful = False
            await crowd.arrive()
            await crowd.all_watching()
            relay.send_signal(signal.SIGKILL)
            await until(
                lambda: all(each.visit.closed for each in crowd.viewers), "viewers to be told"
            )
            assert {each.visit.code for each in crowd.viewers} == {1012}
            assert not crowd.violations()

    run(scenario())
    assert relay.wait() == -signal.SIGKILL
    wait_until(lambda: not relay.processes(), lambda: f"no process left: {relay.processes()}")
    # The publisher that lives keeps its stream and its directory, and those alone.
    assert cam.running
    assert [name.rpartition("@")[2] for name in relay.objects()] == ["directory"]
    assert cam.stop() == 0
    assert relay.objects() == []


def test_next_supervisor_clears_up_after_a_massacre(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Everybody killed at once leaves litter, which the next start of the instance removes."""
    first = start_relay(workers=2)
    cam = publish("shm", "cam0", fps=FPS, key_every=FPS)
    for process in first.processes():
        process.send_signal(signal.SIGSTOP)
    for process in first.processes():
        process.kill()
    cam.kill()
    wait_until(lambda: not first.processes(), "nobody to be left")
    litter = first.objects()
    assert litter
    second = start_relay(workers=2)
    assert not set(litter) & set(second.objects()) - {
        f"relay@{second.instance}@directory",
        f"relay@{second.instance}@workers",
    }
    assert second.streams() == {}
    assert second.stop() == 0


def test_second_supervisor_of_an_instance_is_refused(
    start_relay: StartRelay, instance: str
) -> None:
    """It names the first one and the remedy, and does not disturb it."""
    first = start_relay(workers=1)
    second = start_relay(workers=1, ready=False)
    assert second.wait() == 1
    last = second.log().splitlines()[-1]
    assert last == (
        f"relay-supervisor: error: instance {instance!r} is already run by the supervisor "
        f"with pid {first.pid}; choose another name with --instance"
    )
    assert first.get("/healthz").status == 200
    assert first.stop() == 0


@pytest.mark.parametrize("descriptors", [6, 9, 14, 20])
def test_too_few_descriptors_for_workers(start_relay: StartRelay, descriptors: int) -> None:
    """``ulimit -n`` far too low: no hang and no half a relay, but a line and a failure."""
    relay = start_relay(
        *("--restart-backoff", "0.05", "--crash-limit", "3"),
        workers=2,
        descriptors=descriptors,
        ready=False,
    )
    assert relay.wait() in (1, EXIT_CANNOT_START)
    assert relay.log().splitlines()[-1].startswith("relay-supervisor: error: ")
    assert not relay.log_lines("Traceback")


def test_full_worker_keeps_newcomers_waiting_and_takes_them_later(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Out of descriptors: whoever is in stays undisturbed, whoever waits gets in after them."""
    relay = start_relay(workers=1, descriptors=64)
    publish("shm", "cam0", fps=FPS, key_every=FPS)

    async def scenario() -> None:
        # Few enough for all who wait to get in then.
        async with Crowd.of(36, relay.address, "cam0") as crowd:
            inside, outside = await _fill(relay, crowd)
            await until(lambda: all(each.watching for each in inside), "pictures inside")
            await asyncio.gather(*(each.leave() for each in inside))
            await until(lambda: all(each.watching for each in outside), "the others to get in")
            assert crowd.refused == 0
            assert not crowd.gaps()
            assert not crowd.violations()

    run(scenario())
    assert not relay.errors()


@pytest.mark.parametrize("kind", ["shm", "ws"])
def test_stream_that_begins_while_a_worker_is_full_is_seen(
    start_relay: StartRelay, publish: StartPublisher, kind: str
) -> None:
    """Connections leave descriptors for the memory of streams."""
    relay = start_relay(workers=1, descriptors=64)

    async def scenario() -> None:
        async with Crowd.of(36, relay.address, "cam0") as crowd:
            inside, outside = await _fill(relay, crowd)
            # A remote publisher is a connection, too: it waits like everybody.
            await asyncio.gather(*(each.leave() for each in outside))
            await inside.pop().leave()
            url = f"ws://127.0.0.1:{relay.port}"
            publisher = await asyncio.to_thread(publish, kind, "cam0", url=url, live=False)
            await until(lambda: all(each.watching for each in inside), "the stream")
            # Its line comes through a pipe of its own.
            await until(lambda: publisher.events, "the publisher's word")
            assert [event["event"] for event in publisher.events] == ["live"]
            assert not crowd.violations()

    run(scenario())
    assert not relay.errors()


def _ready_pids(relay: RelayProcess) -> list[int]:
    return [row[Column.PID] for row in relay.ready_rows()]


async def _fill(relay: RelayProcess, crowd: Crowd) -> tuple[list[Viewer], list[Viewer]]:
    """Start everybody; who got in, and who waits because the worker has no descriptor left."""
    for viewer in crowd.viewers:
        if not viewer.online:
            viewer.start()
    await until(lambda: relay.log_lines("cannot accept: "), "the limit")
    await until(
        lambda: sum(each.online for each in crowd.viewers) == relay.rows()[0][Column.CONNECTIONS],
        "all who were accepted to be served",
    )
    inside = [each for each in crowd.viewers if each.online]
    outside = [each for each in crowd.viewers if not each.online]
    assert inside and outside
    return inside, outside
