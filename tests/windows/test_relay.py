"""The whole relay on Windows: the same promises as on Linux, kept by other means."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.conftest import StartPublisher
from tests.e2e.crowd import Crowd
from tests.e2e.waiting import run, until, wait_until
from tests.windows.conftest import StartRelay
from tests.windows.pythons import WindowsPython
from workers.table import Column

FPS: Final = 20
VIEWERS: Final = 300
EVEN: Final = 1.1
"""Viewers of the fullest worker over those of the emptiest."""
OBSERVED: Final = 10.0
"""Seconds."""
IDLE_SHARE: Final = 0.01
"""Of one core, for each worker."""


def test_pages_and_numbers(start_relay: StartRelay) -> None:
    """The line that says it is ready, pages, metrics and the demo picture's stream."""
    relay = start_relay("--demo")
    assert relay.output.count("ready on") == 1
    assert "3 workers (asyncio) ready on http://127.0.0.1:" in relay.output
    for path in ("/", "/watch/demo", "/player.js", "/metrics"):
        assert relay.get(path).status == 200, path
    assert relay.get("/healthz").text == "ok\n"
    assert relay.get("/nothing").status == 404
    wait_until(lambda: relay.streams().get("demo", {}).get("live"), "the demo stream")
    demo = relay.streams()["demo"]
    assert (demo["publisher"]["kind"], demo["width"], demo["height"]) == ("shm", 1280, 720)
    table = relay.workers()
    assert [each["state"] for each in table] == ["ready"] * 3
    assert all(each["rss"] > 0 for each in table)
    assert not relay.errors()


def test_relay_top_shows_it(start_relay: StartRelay, windows: WindowsPython) -> None:
    relay = start_relay(workers=2)
    outcome = relay.run_command("relay.cli.top", "--once")
    assert outcome.code == 0, outcome.stderr
    screen = windows.call("tests.windows.guests.screen:show", relay.instance)
    for shown in (outcome.stdout, screen):
        assert f"{relay.instance}: 2 workers" in shown
        assert {str(row[Column.PID]) for row in relay.rows()} <= {*shown.split()}


def test_relay_load_watches_it(start_relay: StartRelay, tmp_path: Path) -> None:
    relay = start_relay("--demo", workers=2)
    report = tmp_path / "report.json"
    url = f"ws://127.0.0.1:{relay.port}/view/demo"
    limits = ("--fail-if", "frames<10,refused>0,lost>0,invalid>0")
    options = (url, "--viewers", "10", "--duration", "3", "--json", report, *limits)
    outcome = relay.run_command("relay.cli.load", *options, instance=None)
    assert outcome.code == 0, outcome.stdout + outcome.stderr
    assert json.loads(report.read_text("utf-8"))["passed"]


@pytest.mark.parametrize("pause", [0.002, 0.0], ids=["trickle", "burst"])
def test_viewers_are_spread_evenly(start_relay: StartRelay, pause: float) -> None:
    """300 viewers on 3 workers that share one listener, and nobody complains of it."""
    relay = start_relay()

    def viewers() -> list[int]:
        return [row[Column.VIEWERS] for row in relay.ready_rows()]

    async def scenario() -> None:
        async with Crowd.of(VIEWERS, relay.address, "nothing") as crowd:
            await crowd.arrive(pause=pause)
            await until(lambda: sum(viewers()) == VIEWERS, lambda: f"all viewers; {viewers()}")
            counts = viewers()
            assert len(counts) == 3
            assert max(counts) <= EVEN * min(counts), counts
            assert crowd.refused == 0

    run(scenario())
    assert [row[Column.ACCEPT_ERRORS] for row in relay.rows()] == [0, 0, 0]
    # Not to mention WinError 87.
    assert not relay.log_lines("WARNING")
    assert not relay.errors()


@pytest.mark.slow
def test_idle_workers_sleep(start_relay: StartRelay) -> None:
    """Four workers with viewers of a stream that nobody publishes."""
    relay = start_relay(workers=4)

    async def scenario() -> None:
        async with Crowd.of(40, relay.address, "nothing") as crowd:
            await crowd.arrive()
            before = relay.cpu_seconds()
            await asyncio.sleep(OBSERVED)
            used = {pid: now - before[pid] for pid, now in relay.cpu_seconds().items()}
            print(f"seconds of processor: {used}")
            assert len(used) == 4
            assert max(used.values()) <= IDLE_SHARE * OBSERVED
            assert not [visit for visit in crowd.visits if visit.closed]

    run(scenario())
    assert not relay.errors()


def test_second_relay_of_an_instance_is_refused(start_relay: StartRelay) -> None:
    relay = start_relay(workers=1)
    outcome = relay.run_command("relay.cli.supervisor", "--port", "0")
    assert outcome.code == 1
    assert "is already run by the supervisor with pid" in outcome.stderr.splitlines()[-1]


def test_port_that_is_taken_is_said_in_one_line(start_relay: StartRelay) -> None:
    relay = start_relay(workers=1)
    outcome = relay.run_command(
        "relay.cli.supervisor", "--port", str(relay.port), instance=f"{relay.instance}-other"
    )
    assert outcome.code == 1
    assert outcome.stderr.strip() == (
        f"relay-supervisor: error: port {relay.port} on 127.0.0.1 is in use; stop the program "
        "that uses it, or choose another with --port (0 picks a free one)"
    )


def test_control_c_drains(start_relay: StartRelay, publish: StartPublisher) -> None:
    """Close 1012 for everybody, then exit 0, and nothing is left."""
    relay = start_relay("--demo")
    local = publish("shm", "local", fps=FPS, key_every=FPS)
    remote = publish("ws", "remote", url=f"ws://127.0.0.1:{relay.port}", fps=FPS, key_every=FPS)

    async def scenario() -> None:
        async with Crowd.of(30, relay.address, "local", "remote", "nothing") as crowd:
            for viewer in crowd.viewers:
                viewer.faithful = False
            await crowd.arrive()
            await until(lambda: sum(each.watching for each in crowd.viewers) == 20, "pictures")
            relay.interrupt()
            await until(lambda: all(each.visit.closed for each in crowd.viewers), "the end")
            assert {each.visit.code for each in crowd.viewers} == {1012}
            assert not crowd.violations()

    run(scenario())
    assert relay.wait() == 0
    wait_until(lambda: remote.count("lost"), "the remote publisher to be told")
    assert remote.events[1]["code"] == 1012
    assert len(relay.log_lines("drained and left")) == 3
    assert not relay.errors()
    assert local.running
    assert local.stop() == 0


def test_killed_supervisor_leaves_nothing(start_relay: StartRelay, publish: StartPublisher) -> None:
    """TerminateProcess: its job goes with it, and so does all shared memory that it made."""
    relay = start_relay("--demo")
    publish("ws", "remote", url=f"ws://127.0.0.1:{relay.port}", fps=FPS, key_every=FPS)
    assert relay.objects()
    wait_until(lambda: len(relay.processes()) >= 5, lambda: f"all of {relay.processes()}")
    relay.kill()
    wait_until(lambda: not relay.processes(), lambda: f"no process left: {relay.processes()}")
    # Wine's server hears of a process's end after the system has none of it left.
    wait_until(lambda: not relay.objects(), lambda: f"no object left: {relay.objects()}")


def test_killed_worker_is_replaced_in_its_place(start_relay: StartRelay) -> None:
    relay = start_relay()
    victim = relay.rows()[1]
    relay.kill_worker(victim[Column.PID])
    wait_until(
        lambda: [row[Column.RESTARTS] for row in relay.ready_rows()] == [0, 1, 0], "its replacement"
    )
    assert relay.log_lines("WARNING", f"worker 1 (pid {victim[Column.PID]})")
    assert not relay.errors()


def test_workers_that_cannot_start_end_the_relay(start_relay: StartRelay) -> None:
    """Nothing is retried for ever: the exit status says that it failed."""
    relay = start_relay(
        *("--restart-backoff", "0.1", "--crash-limit", "3"),
        workers=1,
        broken_module="uvloop",
        ready=False,
    )
    assert relay.wait() == 1
    assert "ready on" not in relay.output
    assert relay.log().splitlines()[-1] == (
        "relay-supervisor: error: worker 0 did not start 3 times in a row: "
        "the last time it exited with code 1"
    )
