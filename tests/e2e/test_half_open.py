"""A cable is pulled: no FIN, no RST, nothing. The relay finds out by itself.

Needs a second network namespace, joined to this one by a virtual cable; that takes root and
iproute2.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from tests.e2e import wire
from tests.e2e.bystander import bystanders
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.raw_client import HELLO, RawClient
from tests.e2e.waiting import run, until
from tests.namespaces import Namespace
from workers.table import Column


@pytest.fixture
def far_side() -> Iterator[Namespace]:
    """Another network namespace, without a cable to it."""
    try:
        made = Namespace()
    except OSError as exc:
        pytest.skip(f"no network namespace can be made here: {exc}")
    yield made
    made.close()


async def _attend(client: RawClient, frames: list[int], data: bytes) -> None:
    """Read all that comes and answer pings, as a browser does, until the connection ends."""
    reader = wire.MessageReader()
    with contextlib.suppress(OSError):
        while data := data or await client.receive():
            for opcode, payload in reader.feed(data):
                frames.append(len(payload))
                if opcode == wire.PING:
                    await client.send(wire.frame(wire.PONG, payload))
            data = b""


def test_pulled_cable_is_noticed(
    far_side: Namespace, start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Idle viewers, busy ones and publishers on the far side are given up; nobody else is."""
    cable = far_side.cable("far0")
    relay = start_relay(
        *("--host", cable.near, "--ping-interval", "1", "--ping-timeout", "3"),
        *("--user-timeout", "2", "--progress-timeout", "600"),
        workers=1,
        env={"RELAY_PUBLISH_TOKEN": "let-me-in"},
    )
    publish("shm", "cam0", fps=25, size=20_000, key_every=25)

    async def scenario() -> None:
        async with bystanders(relay, "cam0"), Crowd.of(1, relay.address, "far") as waiting:
            await waiting.arrive()
            [waiter] = waiting.viewers
            clients, behind = {}, {}
            received: dict[str, list[int]] = {}
            for path in ("/view/nothing", "/view/cam0", "/publish/far?token=let-me-in"):
                clients[path] = client = RawClient(far_side.tcp_socket())
                await asyncio.get_running_loop().sock_connect(client.sock, relay.address)
                behind[path] = await client.open(path)
            await client.send(wire.message(**HELLO))
            attending = [
                asyncio.create_task(_attend(client, received.setdefault(path, []), behind[path]))
                for path, client in clients.items()
            ]
            await until(lambda: "hello" in waiter.checker.said, "the far publisher")
            # Longer than all the deadlines, with the cable in its place.
            await until(lambda: len(received["/view/cam0"]) > 150, "six seconds of video")
            assert [row[Column.CONNECTIONS] for row in relay.rows()] == [5]
            await asyncio.to_thread(far_side.run, "ip", "link", "set", cable.device, "down")
            await until(
                lambda: relay.rows()[0][Column.CONNECTIONS] == 2,
                lambda: f"only those on this side to be left: {relay.rows()[0].values}",
            )
            assert relay.rows()[0][Column.PUBLISHERS] == 0
            await until(lambda: waiter.checker.said[-1] == "ended", "its viewer to be told")
            for task in attending:
                task.cancel()
            for client in clients.values():
                client.close()

    run(scenario())
    assert not relay.errors()
