"""Clocks that are set, messages that no bridge sends, and NATS servers that take little."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import msgpack
import pytest

from relay.cluster.counters import Counter
from relay.cluster.messages import Announcement, Hello, Message, Node, Want, decode, encode
from relay.cluster.pieces import Piece
from relay.cluster.subjects import Subjects
from tests.cluster.conftest import Cluster, own_memory
from tests.cluster.fake_node import FakeNode, fake_node
from tests.cluster.nats_server import NatsServer
from tests.cluster.watching import watching
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until, wait_until

HOUR = 3600.0


async def more(viewer: Viewer, frames: int) -> None:
    before = viewer.checker.frames
    await until(lambda: viewer.checker.frames > before + frames, f"{frames} more frames")


def test_a_stream_goes_on_when_its_nodes_clock_is_set_back(cluster: Cluster) -> None:
    """To a receiver everything seems late from then on; and later runs have lower numbers."""
    node = cluster.node("a")

    async def watch() -> None:
        async with fake_node(cluster.nats.url, "fake", "cam") as fake:
            await until(lambda: node.sees("cam", "fake"), "the stream")
            viewer = Viewer(node.address, "cam")
            async with watching(viewer):
                await more(viewer, 10)
                fake.clock -= HOUR
                await more(viewer, 30)
                fake.clock -= HOUR
                fake.restart()
                await more(viewer, 30)
            assert viewer.checker.said.count("hello") == 1

    run(watch())
    assert node.number(Counter.LAGGED) <= 4
    assert node.number(Counter.CORRUPT) == 0


JUNK = [
    b"",
    b"\xc1",
    b"\xdf\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x91" * 5000,
    msgpack.packb({"type": "node", "boot": -1, "started": 2**63}),
    msgpack.packb({"type": "stream", "live": True, "fps": float("nan")}),
    msgpack.packb({"type": "stream", "live": True, "width": 10**18}),
    msgpack.packb({"type": "want", "wanted": True, "key": 1}),
    msgpack.packb([2**60, 0, True, 0, 2**60, 0, 0, b"x"]),
    msgpack.packb([0, 0, True, 0, 0, 0, 0, b""]),
    encode(Piece(1, 2**52, True, 0, 1, 1, 1, b"wrong checksum")),
    encode(Piece(1, 0, False, 7, 2**50, 1, 1, b"in the middle of nothing")),
    encode(Want(True, join=True, key=True, sent=2**52)),
]
PLACES = [
    *("node.evil", "node.a=b=c", "node.=", "node.a/b"),
    *("stream.evil.junk", "stream.evil.a/../b", "stream.evil.==", "stream.evil." + "x" * 300),
    *("want.evil.a.cam", "want.evil.a.none", "want./.a.cam"),
    *("frames.a.cam", "frames.evil.cam", "replay.a.b.cam", "replay.evil.b.cam", "replay.a.b./"),
]


def test_nonsense_from_anybody_disturbs_no_stream(cluster: Cluster) -> None:
    """NATS without permissions, and somebody who sends what no bridge would."""
    a, b = cluster.start("a", "b")
    cluster.publish(a, "cam", key_every=20)
    b.wait_sees("cam", "a")
    bridges = [a.bridge(), b.bridge()]
    chance = random.Random(7)

    async def shout(evil: FakeNode) -> None:
        for turn in range(20):
            for place in PLACES:
                for junk in (*JUNK, chance.randbytes(turn * 10)):
                    await evil.say(f"relay.v1.relay.{place}", junk)
            for number in range(50):
                name = f"evil{turn}x{number}"
                await evil.say(f"relay.v1.relay.node.{name}", Node(turn, 1))
                await evil.say(f"relay.v1.relay.want.{name}.a.cam", Want(True))
                gone = Announcement(live=False)
                await evil.say(f"relay.v1.relay.stream.{name}.s{number}", gone)
            await evil.client.flush()
            await asyncio.sleep(0)

    async def watch() -> None:
        viewers = [Viewer(node.address, "cam") for node in (a, b)]
        async with fake_node(cluster.nats.url, "evil", "other") as evil, watching(*viewers):
            await until(lambda: all(each.checker.frames > 10 for each in viewers), "frames")
            memory = own_memory(bridges)
            await shout(evil)
            counts = [each.checker.frames for each in viewers]
            await until(
                lambda: all(
                    each.checker.frames > count + 40
                    for each, count in zip(viewers, counts, strict=True)
                ),
                lambda: f"frames afterwards: {b.tail()}",
            )
            assert own_memory(bridges) - memory < 16 * 1024 * 1024
        assert viewers[0].checker.lost == 0

    run(watch())
    for node, bridge in zip((a, b), bridges, strict=True):
        assert node.bridge().pid == bridge.pid
        assert node.errors() == []
        assert node.log_lines("WARNING", "is not understood")


def forged_hello(run: int) -> Message:
    return Hello(2**53, 1, "avc1.42e01e", 640, 360, 25.0, b"", 0, 1)


def forged_frame(run: int) -> Message:
    """So far ahead that every other frame seems to be an old one; and it cannot be decoded."""
    data = b"nonsense"
    return Piece(run, 2**52, True, 0, 1, 1, crc32(data), data)


@pytest.mark.parametrize("forge", [forged_hello, forged_frame])
def test_a_forged_message_does_not_hold_a_stream(
    cluster: Cluster, forge: Callable[[int], Message]
) -> None:
    a, b = cluster.start("a", "b")
    cluster.publish(a, "cam", key_every=20)
    b.wait_sees("cam", "a")

    async def watch() -> None:
        viewer = Viewer(b.address, "cam")
        async with fake_node(cluster.nats.url, "evil", "other") as evil, watching(viewer):
            await more(viewer, 10)
            subject = Subjects("relay", "a").frames("cam")
            heard = await evil.client.subscribe(subject)
            piece = decode((await heard.next_msg(10)).data)
            assert isinstance(piece, Piece)
            await evil.say(subject, forge(piece.run))
            await evil.client.flush()
            await more(viewer, 40)

    run(watch())


@pytest.fixture
def narrow(instance: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster whose NATS server takes small messages only."""
    config = tmp_path / "nats.conf"
    config.write_text(f"max_payload: {request.param}\n")
    server = NatsServer(tmp_path / "nats.log", config=config)
    server.start()
    made = Cluster(instance, tmp_path, server)
    yield made
    assert made.clean_up() == []


@pytest.mark.parametrize("narrow", [1024], indirect=True)
def test_frames_cross_a_server_that_takes_a_kilobyte_at_a_time(narrow: Cluster) -> None:
    a, b = narrow.start("a", "b")
    narrow.publish(a, "cam", size=30_000, fps=5, key_every=5)
    b.wait_sees("cam", "a")

    async def watch() -> None:
        viewer = Viewer(b.address, "cam")
        async with watching(viewer):
            await until(lambda: viewer.checker.frames > 10, lambda: f"frames: {b.tail()}")

    run(watch())


@pytest.mark.parametrize("narrow", [512], indirect=True)
def test_a_server_that_takes_too_little_is_complained_of(narrow: Cluster) -> None:
    node = narrow.node("a", connected=False)
    wait_until(
        lambda: node.log_lines("ERROR", "512 bytes", "max_payload to 1024"),
        lambda: f"the complaint: {node.tail()}",
    )
    assert node.get("/healthz").status == 200
