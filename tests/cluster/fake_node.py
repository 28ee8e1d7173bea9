"""A node that says exactly what a test wants, to a real relay through a real NATS server."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus.frame import KEY
from bus.frame import encode as encode_frame
from relay.cluster.directory import HEARTBEAT
from relay.cluster.messages import Announcement, Hello, Message, Node, Want, decode, encode
from relay.cluster.outgoing import unix_us
from relay.cluster.pieces import NumberedFrame, split
from relay.cluster.subjects import Subjects
from tests.e2e.payload import PayloadMaker

__all__ = ["FakeNode", "fake_node"]

_FPS = 25
_KEY_EVERY = 10
_CODEC = "avc1.42e01e"


@dataclass
class FakeNode:
    """One node with one stream, which it sends whether anybody wants it or not.

    Attributes:
        stream: what it publishes.
        clock: seconds by which its clock is ahead of this host's.
        boot: number of its bridge.
    """

    client: Client
    subjects: Subjects
    stream: str
    clock: float = 0.0
    boot: int = 1
    _run: int = 0
    _seq: int = 0
    _number: int = 0
    _maker: PayloadMaker = field(default_factory=lambda: PayloadMaker(os.urandom(8), 2000, 10))

    def now(self) -> int:
        """Unix microseconds by its clock."""
        return unix_us() + int(self.clock * 1e6)

    def restart(self) -> None:
        """Its bridge is another process from now on; its publisher is the same."""
        self.boot += 1
        self._run, self._number = self.now(), 0

    async def say(self, subject: str, message: Message | bytes) -> None:
        """Publish anything anywhere."""
        data = message if isinstance(message, bytes) else encode(message)
        await self.client.publish(subject, data)

    async def announce(self) -> None:
        """Live, with its stream, until cancelled."""
        while True:
            news = Announcement(live=True, since=1, codec=_CODEC, width=640, height=360)
            await self.say(self.subjects.node, Node(self.boot, 1))
            await self.say(self.subjects.stream(self.stream), news)
            await asyncio.sleep(HEARTBEAT / 2)

    async def send(self) -> None:
        """Send frames in real time until cancelled."""
        self._run = self._run or self.now()
        while True:
            key = self._seq % _KEY_EVERY == 0
            payload = self._maker.make(self._seq, key=key)
            captured = unix_us()
            envelope = encode_frame(self._seq, captured, captured, KEY if key else 0, payload)
            frame = NumberedFrame(self._run, self._number, key, envelope)
            for piece in split(frame, 100_000, self.now()):
                await self.say(self.subjects.frames(self.stream), piece)
            self._seq += 1
            self._number += 1
            await asyncio.sleep(1 / _FPS)

    async def greet(self, message: Msg) -> None:
        """Answer who joins."""
        want = decode(message.data)
        if isinstance(want, Want) and want.join:
            hello = Hello(self._run, 1, _CODEC, 640, 360, _FPS, b"", 0, self.now(), want.sent)
            await self.say(self.subjects.frames(self.stream), hello)


@contextlib.asynccontextmanager
async def fake_node(url: str, name: str, stream: str) -> AsyncIterator[FakeNode]:
    """A node that lives, publishes and sends."""
    client = await nats.connect(url)
    node = FakeNode(client, Subjects("relay", name), stream)
    await client.subscribe(node.subjects.wants, cb=node.greet)
    tasks = [asyncio.create_task(each) for each in (node.announce(), node.send())]
    try:
        yield node
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await client.close()
