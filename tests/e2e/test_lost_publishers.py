"""A publisher dies. Its viewers wait on open sockets and go on with the next one."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.publishers import PublisherProcess
from tests.e2e.waiting import run, until, wait_until

FPS = 20
KEY_EVERY = 40


def test_next_local_publisher_takes_up_the_stream_at_once(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """kill -9, and another one in its place before anybody has noticed."""
    _killed_and_followed(start_relay, publish, noticed=False)


def test_next_local_publisher_comes_after_viewers_were_told(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """kill -9, and nobody in its place until all viewers know that the stream has ended."""
    _killed_and_followed(start_relay, publish, noticed=True)


def _killed_and_followed(
    start_relay: StartRelay, publish: StartPublisher, *, noticed: bool
) -> None:
    relay = start_relay()
    first = publish("shm", "cam0", fps=FPS, key_every=KEY_EVERY)

    async def scenario() -> None:
        async with Crowd.of(16, relay.address, "cam0") as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            await asyncio.to_thread(first.kill)
            if noticed:
                await until(
                    lambda: all("ended" in each.checker.said for each in crowd.viewers),
                    "everybody to be told that the publisher is gone",
                )
                streams = await asyncio.to_thread(relay.streams)
                assert streams["cam0"]["live"] is False
                assert streams["cam0"]["viewers"] == 16
            second = await asyncio.to_thread(publish, "shm", "cam0", fps=FPS, key_every=KEY_EVERY)
            await _all_see(crowd, second, epoch=2)
            streams = await asyncio.to_thread(relay.streams)
            assert streams["cam0"]["live"] is True
            assert streams["cam0"]["epoch"] == 2
            assert streams["cam0"]["publisher"]["pid"] == second.pid
            _undisturbed(crowd)

    run(scenario())
    assert not relay.errors()


def test_publisher_that_ends_in_order_is_followed(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Ended, so even its segment is gone; the next one makes another, and sockets stay."""
    relay = start_relay()
    first = publish("shm", "cam0", fps=FPS, key_every=KEY_EVERY)

    async def scenario() -> None:
        async with Crowd.of(16, relay.address, "cam0") as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            assert await asyncio.to_thread(first.stop) == 0
            await until(
                lambda: all("ended" in each.checker.said for each in crowd.viewers),
                "everybody to be told that the stream has ended",
            )
            assert "cam0" not in await asyncio.to_thread(relay.streams)
            second = await asyncio.to_thread(publish, "shm", "cam0", fps=FPS, key_every=KEY_EVERY)
            await _all_see(crowd, second, epoch=1)
            _undisturbed(crowd)

    run(scenario())
    assert not relay.errors()


def test_second_publisher_is_refused_and_the_first_goes_on(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """One publisher per stream, however the second one comes."""
    relay = start_relay()
    first = publish("shm", "cam0", fps=FPS, key_every=KEY_EVERY)

    async def scenario() -> None:
        async with Crowd.of(8, relay.address, "cam0") as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            second = await asyncio.to_thread(publish, "shm", "cam0", live=False)
            assert await asyncio.to_thread(second.wait) == 1
            assert f"being published by pid {first.pid}" in second.events[0]["reason"]
            start = crowd.viewers[0].checker.frames
            await until(lambda: crowd.viewers[0].checker.frames > start + FPS, "more video")
            assert {each.checker.epoch for each in crowd.viewers} == {1}
            _undisturbed(crowd)

    run(scenario())
    assert not relay.errors()


@pytest.mark.parametrize("second", ["shm", "ws"])
@pytest.mark.parametrize("first", ["shm", "ws"])
def test_takeover(
    start_relay: StartRelay, publish: StartPublisher, first: str, second: str
) -> None:
    """The old publisher is told and gives up; viewers go on with the new one."""
    relay = start_relay()
    url = f"ws://127.0.0.1:{relay.port}"
    settings = {"url": url, "fps": FPS, "key_every": KEY_EVERY}
    old = publish(first, "cam0", **settings)

    async def scenario() -> None:
        async with Crowd.of(8, relay.address, "cam0") as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            new = await asyncio.to_thread(publish, second, "cam0", takeover=True, **settings)
            await _all_see(crowd, new, epoch=2)
            assert await asyncio.to_thread(old.wait) == 1
            assert old.count("refused") == 1
            assert "taken over" in old.events[-2]["reason"], old.events
            streams = await asyncio.to_thread(relay.streams)
            assert streams["cam0"]["live"] is True
            assert streams["cam0"]["publisher"]["kind"] == second
            _undisturbed(crowd)

    run(scenario())
    assert not relay.errors()


def test_demo_is_published_and_started_again(start_relay: StartRelay) -> None:
    """--demo: a stream is there, and comes back when its publisher is killed."""
    relay = start_relay("--demo", workers=1)

    def epoch() -> int:
        demo = relay.streams().get("demo")
        return demo["epoch"] if demo and demo["live"] and demo["key_frames"] else 0

    wait_until(lambda: epoch() == 1, "the demo")
    demo = relay.streams()["demo"]
    assert demo["codec"] and demo["width"] and demo["height"]
    os.kill(demo["publisher"]["pid"], signal.SIGKILL)
    wait_until(lambda: epoch() == 2, "the demo to be back")
    assert relay.log_lines("WARNING", "demo publisher")
    assert not relay.errors()


def test_local_publishers_killed_again_and_again(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Ten publishers die in turn, wherever they are in writing a record; nothing torn comes."""
    relay = start_relay(workers=2)

    async def scenario() -> None:
        async with Crowd.of(8, relay.address, "cam0") as crowd:
            await crowd.arrive()
            for epoch in range(1, 11):
                publisher = await asyncio.to_thread(
                    publish, "shm", "cam0", fps=400, size=60_000, key_every=20
                )
                await _all_see(crowd, publisher, epoch=epoch)
                await asyncio.to_thread(publisher.kill)
            assert not crowd.violations()
            assert not [visit for visit in crowd.visits if visit.closed]

    run(scenario())
    assert not relay.errors()
    publish("shm", "cam0").stop()


async def _all_see(crowd: Crowd, publisher: PublisherProcess, *, epoch: int) -> None:
    """Wait until everybody has frames of this publisher."""
    assert publisher.events[0]["epoch"] == epoch
    mark = publisher.events[0]["mark"]
    await until(
        lambda: all(each.checker.mark == mark for each in crowd.viewers),
        lambda: f"frames of {mark}; {[each.checker.mark for each in crowd.viewers]}",
    )


def _undisturbed(crowd: Crowd) -> None:
    assert not [visit for visit in crowd.visits if visit.closed]
    assert not crowd.gaps()
    assert not crowd.violations()
