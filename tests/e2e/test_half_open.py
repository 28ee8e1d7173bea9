"""A cable is pulled: no FIN, no RST, nothing. The relay finds out by itself.

Needs a second network namespace, joined to this one by a virtual cable; that takes root and
iproute2.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import secrets
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pytest

from tests.e2e import wire
from tests.e2e.bystander import bystanders
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.crowd import Crowd
from tests.e2e.raw_client import HELLO, RawClient
from tests.e2e.waiting import run, until
from workers.table import Column

_NEW_NET: Final = 0x40000000
_NEAR: Final = "10.203.77.1"
_FAR: Final = "10.203.77.2"


@dataclass(frozen=True, slots=True)
class Cable:
    """The way to another network namespace.

    Attributes:
        space: that namespace.
        end: name of the cable's far end.
    """

    space: str
    end: str

    def far_socket(self) -> socket.socket:
        """A socket over there."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._make_socket).result()

    def _make_socket(self) -> socket.socket:
        # The thread moves there and ends; a socket stays where it was made.
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self.space}") as space:
            if libc.setns(space.fileno(), _NEW_NET):
                raise OSError(ctypes.get_errno(), "setns")
        made = socket.socket()
        made.setblocking(False)
        return made

    def pull(self) -> None:
        """From now on nothing gets through, in either direction."""
        _ip("netns", "exec", self.space, "ip", "link", "set", self.end, "down")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    """A fresh cable."""
    name = f"relay{secrets.token_hex(3)}"
    near, far = f"{name}n", f"{name}f"
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as exc:
        pytest.skip(f"no network namespace can be made here: {exc}")
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        _ip("addr", "add", f"{_NEAR}/30", "dev", near)
        _ip("link", "set", near, "up")
        _ip("netns", "exec", name, "ip", "addr", "add", f"{_FAR}/30", "dev", far)
        _ip("netns", "exec", name, "ip", "link", "set", far, "up")
        yield Cable(name, far)
    finally:
        # Sockets over there may keep the namespace for a moment, but not the cable.
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", near)
        _ip("netns", "del", name)


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
    cable: Cable, start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Idle viewers, busy ones and publishers on the far side are given up; nobody else is."""
    relay = start_relay(
        *("--host", _NEAR, "--ping-interval", "1", "--ping-timeout", "1"),
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
                clients[path] = client = RawClient(cable.far_socket())
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
            await asyncio.to_thread(cable.pull)
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
