"""Stopping and replacing in order: everybody is told, nobody is refused, nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.prober import probing
from tests.e2e.raw_client import RawClient
from tests.e2e.relay import Relay
from tests.e2e.waiting import run, until, wait_until
from workers.table import Column

FPS: Final = 20


@pytest.mark.slow
def test_rolling_restart_under_load_refuses_nobody(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """All workers are new, viewers were sent 1012 and are back, no request failed."""
    relay = start_relay()
    publish("shm", "local", fps=FPS, key_every=FPS)
    remote = publish("ws", "remote", url=f"ws://127.0.0.1:{relay.port}", fps=FPS, key_every=FPS)
    before = relay.worker_pids()
    run(_roll(relay, before))
    lost = [each for each in remote.events if each["event"] == "lost"]
    assert {each["code"] for each in lost} <= {1012}, remote.events
    assert not relay.errors()
    assert not relay.log_lines("WARNING")


async def _roll(relay: Relay, before: list[int]) -> None:
    async with Crowd.of(100, relay.address, "local", "remote") as crowd:
        await crowd.arrive()
        await crowd.all_watching()
        async with probing(relay.address):
            relay.reload()
            await until(
                lambda: relay.log_lines("all workers run with the new configuration"), "the roll"
            )
            await crowd.all_watching()
        after = [row[Column.PID] for row in relay.rows()]
        assert len(after) == len(before) and not set(before) & set(after)
        assert {row[Column.GENERATION] for row in relay.rows()} == {2}
        ended = [visit for visit in crowd.visits if visit.closed]
        assert len(ended) >= 100
        assert {visit.code for visit in ended} == {1012}
        assert crowd.refused == 0
        assert not crowd.gaps()
        assert not crowd.violations()
        # Nobody was thrown out again by the next one in turn more than it takes.
        assert max(len(each.visits) for each in crowd.viewers) <= 1 + len(after)


def test_one_worker_is_asked_to_go(start_relay: StartRelay, publish: StartPublisher) -> None:
    """SIGTERM to a worker: its successor serves before it drains; the listener is untouched."""
    relay = start_relay(workers=3)
    publish("shm", "cam0", fps=FPS, key_every=FPS)

    async def scenario() -> None:
        async with Crowd.of(30, relay.address, "cam0") as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            old = relay.rows()[1]
            async with probing(relay.address):
                os.kill(old[Column.PID], signal.SIGTERM)
                await until(
                    lambda: relay.log_lines(f"(pid {old[Column.PID]}) drained and left"), "its end"
                )
            await crowd.all_watching()
            assert [row[Column.GENERATION] for row in relay.ready_rows()] == [1, 2, 1]
            ended = [visit for visit in crowd.visits if visit.closed]
            assert len(ended) == 10
            assert {visit.code for visit in ended} == {1012}
            assert not crowd.violations()

    run(scenario())
    assert not relay.errors()
    assert not relay.log_lines("WARNING")


def test_worker_above_its_memory_limit_is_recycled(start_relay: StartRelay) -> None:
    """No worker can do with one MiB, so each is replaced; nobody is refused meanwhile."""
    relay = start_relay("--memory-limit", "1", workers=2)

    async def scenario() -> None:
        async with probing(relay.address):
            await until(
                lambda: [row[Column.GENERATION] for row in relay.ready_rows()] == [2, 2],
                "both to be replaced",
            )

    run(scenario())
    assert len(relay.log_lines("of memory, more than its limit")) == 2
    assert not relay.errors()


def test_configuration_is_read_again(start_relay: StartRelay, tmp_path: Path) -> None:
    """SIGHUP takes a changed file; a broken one changes nothing and is said."""
    config = tmp_path / "relay.toml"
    config.write_text("[limits]\nmax_viewers = 3\n")
    relay = start_relay("--config", str(config), workers=1)
    config.write_text("[limits]\nmax_viewers = 'many'\n")
    relay.reload()
    wait_until(lambda: relay.log_lines("ERROR", "max_viewers"), "the refusal")
    config.write_text("[limits]\nmax_viewers = 2\n")
    relay.reload()
    wait_until(lambda: relay.log_lines("all workers run with the new"), "the roll")

    async def scenario() -> None:
        async with Crowd.of(3, relay.address, "cam0") as crowd:
            for viewer in crowd.viewers:
                viewer.faithful = False
                viewer.start()
            await until(lambda: any(v.visits and v.visit.closed for v in crowd.viewers), "one less")
            assert [v.visit.code for v in crowd.viewers if v.visit.closed] == [1013]
            await until(lambda: sum(v.online for v in crowd.viewers) == 2, "the others")

    run(scenario())
    assert relay.metrics()['relay_refused_total{reason="limit"}'] == 1
    assert len(relay.errors()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_tells_viewers_and_leaves_nothing(
    start_relay: StartRelay, publish: StartPublisher, number: signal.Signals
) -> None:
    """Close 1012 for everybody, exit 0, no process, nothing in shared memory."""
    relay = start_relay("--demo")
    local = publish("shm", "local", fps=FPS, key_every=FPS)
    remote = publish("ws", "remote", url=f"ws://127.0.0.1:{relay.port}", fps=FPS, key_every=FPS)

    async def scenario() -> None:
        async with Crowd.of(60, relay.address, "local", "remote", "nothing") as crowd:
            for viewer in crowd.viewers:
                viewer.faithful = False
            await crowd.arrive()
            await until(lambda: sum(each.watching for each in crowd.viewers) == 40, "pictures")
            relay.send_signal(number)
            await until(lambda: all(each.visit.closed for each in crowd.viewers), "the end")
            assert {each.visit.code for each in crowd.viewers} == {1012}
            assert all(each.visit.reason for each in crowd.viewers)
            assert not crowd.violations()

    run(scenario())
    assert relay.wait() == 0
    wait_until(lambda: remote.count("lost"), "the remote publisher to be told")
    assert remote.events[1]["code"] == 1012
    wait_until(lambda: not relay.processes(), lambda: f"no process left: {relay.processes()}")
    assert not relay.errors()
    assert relay.table_is_gone()
    assert local.running
    assert local.stop() == 0
    remote.stop()
    assert relay.objects() == []


def test_stop_does_not_wait_for_those_who_do_not_answer(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Frozen tabs and half-made requests have until the deadline, then the relay is gone."""
    relay = start_relay("--drain-timeout", "1", "--close-timeout", "1", workers=2)
    publish("shm", "cam0", fps=FPS, size=20_000, key_every=FPS)

    async def scenario() -> None:
        frozen = [await RawClient.connect(relay.address, receive_buffer=4096) for _ in range(10)]
        for client in frozen:
            await client.open("/view/cam0")
        half = [await RawClient.connect(relay.address) for _ in range(10)]
        for client in half:
            await client.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: sum(row[Column.CONNECTIONS] for row in relay.rows()) == 20, "everybody")
        relay.interrupt()
        assert await asyncio.to_thread(relay.wait) == 0
        for client in frozen + half:
            client.close()

    run(scenario())
    assert not relay.errors()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_stops_at_once(start_relay: StartRelay, second: signal.Signals) -> None:
    """Who is impatient says so again; there is no wait for peers then."""
    relay = start_relay("--drain-timeout", "600", "--close-timeout", "600", workers=2)

    async def scenario() -> None:
        client = await RawClient.connect(relay.address)
        try:
            await client.open("/view/cam0")
            relay.send_signal(signal.SIGTERM)
            await until(lambda: relay.log_lines("SIGTERM: stopping"), "the first signal")
            # The same signal counts again after a moment: a Ctrl-C may reach a process twice.
            while not relay.log_lines(f"{second.name}: stopping at once"):
                relay.send_signal(second)
                await asyncio.sleep(0.2)
            await asyncio.to_thread(relay.wait)
        finally:
            client.close()

    run(scenario())
    assert not relay.errors()


def test_port_is_free_for_the_next_relay_at_once(start_relay: StartRelay) -> None:
    """Stop and start on the same port, with connections of the first still in TIME_WAIT."""
    first = start_relay(workers=1)
    for _ in range(5):
        assert first.get("/healthz").status == 200
    assert first.stop() == 0
    second = start_relay("--port", str(first.port), workers=1)
    assert second.port == first.port
    assert second.get("/healthz").status == 200
