"""A new viewer's first picture comes at once: from the ring, not from the next key frame."""

from __future__ import annotations

import asyncio

from tests.e2e.checker import FrameChecker
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.viewers import Address, Viewer
from tests.e2e.waiting import run, until

FPS = 20
KEY_EVERY = 200
"""Ten seconds between key frames; the publisher makes none when it is asked."""


def test_first_frame_is_the_latest_key_frame_of_the_ring(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Whoever joins between key frames gets the last one, on whichever worker it is."""
    relay = start_relay()
    publish("shm", "cam0", fps=FPS, key_every=KEY_EVERY)
    run(_join_between_keys(relay.address))
    assert not relay.errors()


def test_first_frame_over_websocket_ingest(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """The same for frames of a remote publisher."""
    relay = start_relay()
    publish("ws", "cam0", url=f"ws://127.0.0.1:{relay.port}", fps=FPS, key_every=KEY_EVERY)
    run(_join_between_keys(relay.address))
    assert not relay.errors()


async def _join_between_keys(address: Address) -> None:
    async with Crowd.of(1, address, "cam0") as early:
        await early.arrive()
        edge = early.viewers[0].checker
        while not await _join_amid_a_group(address, edge):
            pass
        assert not early.violations()


async def _join_amid_a_group(address: Address, edge: FrameChecker) -> bool:
    """Join far from the last key frame and the next; False if that took until the next."""
    await until(lambda: (edge.last_seq or 0) % KEY_EVERY > 20, "frames after a key frame")
    key = (edge.last_seq or 0) // KEY_EVERY * KEY_EVERY
    async with Crowd.of(8, address, "cam0") as late:
        await late.arrive()
        await late.all_watching()
        if (edge.last_seq or 0) >= key + KEY_EVERY:
            return False
        assert {(each.visit.first_seq, each.visit.first_key) for each in late.viewers} == {
            (key, True)
        }
        # And they catch up with the edge without missing a frame.
        await until(
            lambda: all((each.checker.last_seq or 0) > key + 30 for each in late.viewers),
            "everybody at the live edge",
        )
        assert not late.gaps()
        assert not late.violations()
        return True


def test_viewer_before_the_publisher_gets_its_very_first_frame(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Who waits for a stream is told so, and misses nothing when it begins."""
    relay = start_relay()

    async def scenario() -> None:
        viewers = [Viewer(relay.address, "cam0") for _ in range(8)]
        async with Crowd(viewers) as crowd:
            await crowd.arrive()
            await until(
                lambda: all("ended" in each.checker.said for each in viewers),
                "everybody to be told that there is no publisher",
            )
            await asyncio.to_thread(publish, "shm", "cam0", fps=FPS, key_every=KEY_EVERY)
            await crowd.all_watching()
            assert {each.visit.first_seq for each in viewers} == {0}
            assert not crowd.violations()

    run(scenario())
    assert not relay.errors()
