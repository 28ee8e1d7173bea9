"""What viewers of other makes rely on: bare payloads, pauses, key requests, limits."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Final

import pytest

from tests.e2e import wire
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.payload import Proof, prove
from tests.e2e.raw_client import RawClient, ending
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until
from workers.table import Column

FPS: Final = 20
KEY_EVERY: Final = 40


def test_bare_payloads(start_relay: StartRelay, publish: StartPublisher) -> None:
    """``?format=raw``: payloads and nothing else, from a key frame on, across publishers."""
    relay = start_relay(workers=2)
    first = publish("shm", "cam0", fps=FPS, key_every=KEY_EVERY)

    async def scenario() -> None:
        client = await RawClient.connect(relay.address)
        reader = wire.MessageReader()
        proofs: list[Proof] = []

        async def watch() -> None:
            data = await client.open("/view/cam0?format=raw")
            while True:
                for opcode, payload in reader.feed(data):
                    assert opcode == wire.BINARY
                    proofs.append(prove(payload))
                data = await client.receive()

        watching = asyncio.create_task(watch())
        await until(lambda: len(proofs) > 30 or watching.done(), "frames")
        await asyncio.to_thread(first.stop)
        second = await asyncio.to_thread(publish, "shm", "cam0", fps=FPS, key_every=KEY_EVERY)
        mark = second.events[0]["mark"]
        await until(lambda: proofs[-1].mark.hex() == mark or watching.done(), "the next")
        assert not watching.done()
        watching.cancel()
        client.close()
        assert proofs[0].seq == proofs[0].key_seq
        for before, after in itertools.pairwise(proofs):
            if after.mark == before.mark:
                assert after.seq == before.seq + 1
            else:
                assert after.seq == after.key_seq

    run(scenario())
    assert not relay.errors()


def test_hidden_tab_gets_nothing_and_comes_back_with_a_key_frame(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """pause and resume; what was not sent is counted as hidden."""
    relay = start_relay(workers=1)
    publish("shm", "cam0", fps=4 * FPS, key_every=KEY_EVERY)

    async def scenario() -> None:
        viewers = [Viewer(relay.address, "cam0") for _ in range(2)]
        hidden, other = viewers
        async with Crowd(viewers) as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            hidden.say(type="pause")
            hidden.say(type="ping", t0=1)
            await until(lambda: "pong" in hidden.checker.said, "the pause to have arrived")
            seen, at = hidden.checker.frames, other.checker.frames
            await until(lambda: other.checker.frames > at + 2 * KEY_EVERY, "video for others")
            assert hidden.checker.frames == seen
            hidden.say(type="resume")
            await until(lambda: hidden.checker.frames > seen + FPS, "video")
            [row] = relay.rows()
            assert row[Column.SKIPPED_HIDDEN] > KEY_EVERY
            assert row[Column.SKIPPED_NETWORK] == 0
            assert hidden.checker.gaps == 1
            assert not other.checker.gaps
            assert not crowd.violations()

    run(scenario())
    assert not relay.errors()


def test_key_request_reaches_publishers(start_relay: StartRelay, publish: StartPublisher) -> None:
    """A decoder that lost its state gets a new key frame long before the next regular one."""
    relay = start_relay(workers=2)
    for kind, stream in (("shm", "local"), ("ws", "remote")):
        publish(
            *(kind, stream),
            url=f"ws://127.0.0.1:{relay.port}",
            fps=FPS,
            key_every=100_000,
            serves_keys=True,
        )

    async def scenario() -> None:
        async with Crowd.of(4, relay.address, "local", "remote") as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            for viewer in crowd.viewers:
                keys = viewer.checker.keys
                viewer.say(type="key")
                await until(lambda v=viewer, k=keys: v.checker.keys > k, "a key frame")  # type: ignore[misc]
            assert not crowd.violations()

    run(scenario())
    assert not relay.errors()


def test_too_many_viewers_are_told_to_come_later(start_relay: StartRelay) -> None:
    """Beyond the limit: 1013 and words, counted; those inside stay."""
    relay = start_relay("--max-viewers", "5", workers=1)

    async def scenario() -> None:
        async with Crowd.of(8, relay.address, "cam0") as crowd:
            for viewer in crowd.viewers:
                viewer.faithful = False
                viewer.start()
            await until(
                lambda: sum(bool(v.visits and v.visit.closed) for v in crowd.viewers) == 3, "three"
            )
            gone = [v.visit for v in crowd.viewers if v.visit.closed]
            assert {visit.code for visit in gone} == {1013}
            assert all("full" in visit.reason for visit in gone)
            await until(lambda: sum(v.online for v in crowd.viewers) == 5, "the others")

    run(scenario())
    assert relay.metrics()['relay_refused_total{reason="limit"}'] == 3
    assert not relay.errors()


def test_one_address_cannot_take_all_connections(start_relay: StartRelay) -> None:
    """Beyond its limit an address is told to come back later; another address gets in."""
    relay = start_relay("--max-connections-per-address", "4", workers=1)

    async def scenario() -> None:
        clients = [await RawClient.connect(relay.address) for _ in range(4)]
        for client in clients:
            await client.open("/view/cam0")
        fifth = await ending(relay.address, "/view/cam0", b"")
        assert fifth == (1013, "too many connections from your address")
        other = await RawClient.connect(relay.address, source="127.0.0.2")
        await other.open("/view/cam0")
        assert sum(row[Column.REFUSED_LIMIT] for row in relay.rows()) == 1
        for client in (*clients, other):
            client.close()

    run(scenario())
    assert not relay.errors()


def test_flood_of_connections_waits_and_is_served(start_relay: StartRelay) -> None:
    """Beyond the accepts of a second the rest waits in the backlog; none is refused."""
    relay = start_relay("--max-accepts-per-second", "50", workers=2)

    async def scenario() -> None:
        async with Crowd.of(200, relay.address, "cam0") as crowd:
            await crowd.arrive()
            assert crowd.refused == 0
            asked = min(each.visit.asked for each in crowd.viewers)
            # 100 in a second, whatever the machine.
            assert max(each.visit.opened for each in crowd.viewers) - asked > 1.0

    run(scenario())
    assert not relay.errors()


@pytest.mark.parametrize("host", ["::1", "0.0.0.0", "localhost"])
def test_other_addresses_to_listen_on(
    start_relay: StartRelay, publish: StartPublisher, host: str
) -> None:
    """The URL that is printed is one that works, for IPv6 as well."""
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    relay = start_relay("--host", host, workers=2)
    publish("shm", "cam0", fps=FPS, key_every=KEY_EVERY)
    assert relay.get("/healthz").text == "ok\n"

    async def scenario() -> None:
        async with Crowd.of(4, relay.address, "cam0") as crowd:
            await crowd.arrive()
            await crowd.all_watching()
            assert not crowd.violations()

    run(scenario())
    assert not relay.errors()
