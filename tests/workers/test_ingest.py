"""Remote publishers: what they say, what they are told, and what viewers get of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from websockets.frames import Opcode

from bus.frame import encode
from bus.stream import inspect_stream
from tests.workers.client import Client, masked
from tests.workers.harness import Fleet, wait_until
from tests.workers.scene import Scene, stage
from workers.settings import Limits
from workers.table import Column

HELLO = {"type": "hello", "codec": "vp8", "width": 64, "height": 48, "fps": 30, "init": b"i"}


def envelope(seq: int, payload: bytes = b"payload", *, key: bool = False) -> bytes:
    return encode(seq, seq * 1000, 10**15 + seq, int(key), payload)


def publish(client: Client, data: bytes) -> None:
    client.send(masked(Opcode.BINARY, data))


def connect(scene: Scene, stream: str = "remote", query: str = "", **hello: Any) -> Client:
    """A publisher that is accepted, past its first ping, which it leaves unanswered."""
    client = scene.connect().upgrade(f"/publish/{stream}{query}")
    client.say(HELLO | hello)
    client.expect("ok")
    client.expect("ping")
    return client


def start(scene: Scene) -> Client:
    """A publisher whose first key frame is in the ring, so that no viewer asks for one."""
    client = connect(scene)
    publish(client, envelope(0, key=True))
    settle(client)
    return client


def settle(publisher: Client) -> None:
    """Return when the worker has handled all that the publisher sent; it was asked nothing."""
    publisher.say({"type": "ping", "t0": 8})
    assert publisher.expect("pong")["t0"] == 8


def watch(scene: Scene, stream: str = "remote") -> Client:
    """A viewer of a live stream."""
    client = scene.connect().upgrade(f"/view/{stream}")
    client.expect("hello")
    return client


class TestPublishing:
    """The way of a stream from a remote publisher to the viewers."""

    def test_hello_is_answered_with_ok_and_a_question_for_the_clock(self, scene: Scene) -> None:
        client = scene.connect().upgrade("/publish/remote")
        client.say(HELLO)
        info = client.expect("ok")
        assert info["stream"] == "remote"
        before = time.time_ns() // 1000
        ping = client.expect("ping")
        assert abs(ping["t0"] - before) < 60_000_000
        found = inspect_stream(scene.fleet.instance, "remote")
        assert found.live
        assert found.metadata is not None
        assert (found.metadata.kind, found.metadata.address) == ("ws", "127.0.0.1")
        assert (found.epoch, found.publisher_pid) == (info["epoch"], scene.fleet.worker.pid)
        assert scene.row[Column.PUBLISHERS] == 1

    def test_viewers_get_its_hello_and_the_very_bytes_of_its_frames(self, scene: Scene) -> None:
        waiting = scene.viewer("remote")
        publisher = connect(scene)
        assert waiting.expect("live")
        hello = waiting.expect("hello")
        assert {name: hello[name] for name in HELLO} == HELLO
        late = watch(scene)
        sent = [
            envelope(number, os.urandom(size), key=number == 0)
            for number, size in enumerate([0, 10, 125, 126, 65_535, 65_536, 300_000])
        ]
        for data in sent:
            publish(publisher, data)
            assert waiting.binary() == data
            assert late.binary() == data

    def test_fragmented_frames_arrive_whole(self, scene: Scene) -> None:
        publisher = connect(scene)
        client = watch(scene)
        data = envelope(0, os.urandom(100_000), key=True)
        publisher.send(masked(2, data[:10], fin=False) + masked(0, data[10:70_000], fin=False))
        publisher.send(masked(Opcode.PING) + masked(0, data[70_000:]))
        assert client.binary() == data

    def test_viewers_of_another_worker(self, start_fleet: Callable[..., Fleet]) -> None:
        fleet = start_fleet(workers=2)
        with Client(fleet.port) as publisher, Client(fleet.port) as viewer:
            publisher.upgrade("/publish/remote").say(HELLO)
            publisher.expect("ok")
            # The gate sends the next connection to the worker that has none.
            viewer.upgrade("/view/remote").expect("hello")
            assert sorted(w.row[Column.VIEWERS] for w in fleet.workers) == [0, 1]
            assert all(w.row[Column.CONNECTIONS] == 1 for w in fleet.workers)
            data = envelope(0, key=True)
            publish(publisher, data)
            assert viewer.binary() == data
            viewer.say({"type": "key"})
            publisher.expect("ping")
            assert publisher.expect("key") == {"type": "key"}

    def test_hello_again_changes_the_stream(self, scene: Scene) -> None:
        publisher = start(scene)
        client = watch(scene)
        publisher.say(HELLO | {"init": b"new", "width": 128})
        publisher.expect("ok")
        publish(publisher, envelope(1))
        publish(publisher, envelope(2, key=True))
        assert client.picture().seq == 0
        hello = client.expect("hello")
        assert (hello["init"], hello["width"]) == (b"new", 128)
        assert client.picture().seq == 2

    def test_pings_are_answered(self, scene: Scene) -> None:
        client = scene.connect().upgrade("/publish/remote")
        client.say({"type": "ping", "t0": 3})
        assert client.expect("pong")["t0"] == 3
        client.say(HELLO)
        client.expect("ok")

    def test_a_token_is_asked_for(self, scene: Scene) -> None:
        refused = scene.connect().upgrade("/publish/secret")
        assert refused.read_close() == (1008, "you may not publish this stream")
        scene.refused(Column.REFUSED_AUTH)
        allowed = scene.connect().upgrade("/publish/secret?token=open-sesame")
        allowed.say(HELLO)
        allowed.expect("ok")


class TestKeyRequests:
    """Viewers' wishes for key frames reach the publisher, each once."""

    def test_once_for_each_wish(self, scene: Scene) -> None:
        publisher = start(scene)
        first, second = watch(scene), watch(scene)
        for client in (first, second):
            assert client.picture().seq == 0
        for client in (first, second, first):
            client.say({"type": "key"})
            client.say({"type": "ping", "t0": 8})
            client.expect("pong")
        assert publisher.expect("key") == {"type": "key"}
        publish(publisher, envelope(1))
        publish(publisher, envelope(2, key=True))
        for client in (first, second):
            assert client.picture().seq == 2
        settle(publisher)
        second.say({"type": "key"})
        publisher.expect("key")

    def test_a_viewer_that_comes_before_the_first_key_frame_asks(self, scene: Scene) -> None:
        publisher = connect(scene)
        publish(publisher, envelope(0))
        client = watch(scene)
        publisher.expect("key")
        publish(publisher, envelope(1, key=True))
        assert client.picture().seq == 1


class TestClock:
    """The publisher's clock is measured and told to viewers."""

    @pytest.mark.parametrize("ahead_us", [5_000_000, -7_000_000])
    def test_offset_reaches_viewers(self, scene: Scene, ahead_us: int) -> None:
        client = scene.connect().upgrade("/publish/remote")
        client.say(HELLO)
        client.expect("ok")
        t0 = client.expect("ping")["t0"]
        client.say({"type": "pong", "t0": t0, "t1": t0 + ahead_us})
        # Once this is answered, the pong before it has been handled.
        client.say({"type": "ping", "t0": 1})
        client.expect("pong")
        round_trip = time.time_ns() // 1000 - t0
        viewer = scene.connect().upgrade("/view/remote")
        offset = viewer.expect("hello")["offset_us"]
        assert ahead_us - round_trip <= offset <= ahead_us
        viewer.say({"type": "ping", "t0": 1})
        assert viewer.expect("pong")["offset_us"] == offset

    def test_an_answer_to_no_question_is_ignored(self, scene: Scene) -> None:
        client = connect(scene)
        client.say({"type": "pong", "t0": 2**62, "t1": 5})
        client.say({"type": "pong", "t0": 0, "t1": 5})
        client.say({"type": "ping", "t0": 1})
        client.expect("pong")
        viewer = scene.connect().upgrade("/view/remote")
        assert viewer.expect("hello")["offset_us"] == 0


class TestTwoPublishers:
    """One publisher a stream, unless the second says otherwise."""

    def test_the_second_is_refused_with_the_pid_of_the_first(self, scene: Scene) -> None:
        first = connect(scene)
        second = scene.connect().upgrade("/publish/remote")
        second.say(HELLO)
        code, reason = second.read_close()
        assert code == 1008
        assert reason == f"stream 'remote' is being published by pid {scene.fleet.worker.pid}"
        scene.refused(Column.REFUSED_BUSY)
        viewer = watch(scene)
        publish(first, envelope(0, key=True))
        assert viewer.picture().seq == 0

    def test_a_local_one_is_in_the_way_too(self, scene: Scene) -> None:
        scene.publish("remote")
        client = scene.connect().upgrade("/publish/remote")
        client.say(HELLO)
        assert client.read_close() == (
            1008,
            f"stream 'remote' is being published by pid {os.getpid()}",
        )
        scene.refused(Column.REFUSED_BUSY)

    def test_takeover(self, scene: Scene) -> None:
        first = connect(scene)
        viewer = watch(scene)
        publish(first, envelope(0, b"first", key=True))
        assert viewer.picture().payload == b"first"
        second = connect(scene, query="?takeover=1")
        viewer.expect("ended")
        viewer.expect("live")
        viewer.expect("hello")
        publish(first, envelope(1, b"too late", key=True))
        code, reason = first.read_close()
        assert code == 1008
        assert "taken over" in reason
        scene.refused(Column.REFUSED_BUSY)
        publish(second, envelope(0, b"second", key=True))
        assert viewer.picture().payload == b"second"
        assert scene.row[Column.PUBLISHERS] == 1

    def test_takeover_zero_is_none(self, scene: Scene) -> None:
        connect(scene)
        second = scene.connect().upgrade("/publish/remote?takeover=0")
        second.say(HELLO)
        assert second.read_close()[0] == 1008
        scene.refused(Column.REFUSED_BUSY)


class TestTheEnd:
    """However a publisher goes, its viewers are told and stay."""

    def assert_ended(self, scene: Scene, viewer: Client) -> None:
        assert viewer.expect("ended")["reason"] == "the publisher ended the stream"
        wait_until(lambda: scene.row[Column.PUBLISHERS] == 0, "publisher retired")
        again = connect(scene)
        viewer.expect("live")
        viewer.expect("hello")
        publish(again, envelope(0, b"again", key=True))
        assert viewer.picture().payload == b"again"

    def test_says_ended(self, scene: Scene) -> None:
        publisher = connect(scene)
        viewer = watch(scene)
        publisher.say({"type": "ended"})
        assert publisher.read_close() == (1000, "the stream has ended")
        publisher.expect_fin()
        self.assert_ended(scene, viewer)

    @pytest.mark.parametrize("leave", [Client.close, Client.reset, Client.say_close])
    def test_leaves(self, scene: Scene, leave: Callable[[Client], None]) -> None:
        publisher = connect(scene)
        viewer = watch(scene)
        leave(publisher)
        self.assert_ended(scene, viewer)

    def test_frames_in_front_of_a_close_are_delivered(self, scene: Scene) -> None:
        publisher = connect(scene)
        viewer = watch(scene)
        frames = [envelope(number, key=number == 0) for number in range(20)]
        # In one segment, as from a publisher that writes its last frames and closes.
        publisher.send(b"".join(masked(2, data) for data in frames) + masked(8, b"\x03\xe8"))
        assert [viewer.binary() for _ in frames] == frames
        assert publisher.read_close() == (1000, "")
        publisher.expect_fin()
        viewer.expect("ended")

    def test_in_the_middle_of_a_frame(self, scene: Scene) -> None:
        publisher = connect(scene)
        viewer = watch(scene)
        publisher.send(masked(2, envelope(0, b"x" * 5000, key=True))[:3000])
        publisher.close()
        self.assert_ended(scene, viewer)


FRAME = [0, 0, 0, 1, b"x"]
MALFORMED: dict[str, bytes] = {
    "four values": msgpack.packb(FRAME[:4]),
    "six values": msgpack.packb([*FRAME, 1]),
    "bytes behind it": msgpack.packb(FRAME) + b"\xc0",
    "cut": msgpack.packb(FRAME)[:-1],
    "negative seq": msgpack.packb([-1, *FRAME[1:]]),
    "word for a time": msgpack.packb([0, "x", *FRAME[2:]]),
    "true for a flag": msgpack.packb([0, 0, 0, True, b"x"]),
    "nothing for a payload": msgpack.packb([0, 0, 0, 1, None]),
    "text for a payload": msgpack.packb([0, 0, 0, 1, "x"]),
    "map of no type": msgpack.packb({}),
    "unknown type": msgpack.packb({"type": "pause"}),
    "no msgpack": b"\xc1",
    "bad second hello": msgpack.packb(HELLO | {"codec": ""}),
}


class TestRefusals:
    """Refused with a code that says whether it makes sense to try again."""

    @pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
    def test_malformed(self, scene: Scene, data: bytes) -> None:
        publisher = connect(scene)
        viewer = watch(scene)
        publish(publisher, envelope(0, key=True))
        publish(publisher, data)
        code, reason = publisher.read_close()
        assert code == 1007
        assert reason
        scene.refused(Column.REFUSED_PROTOCOL)
        assert viewer.picture().seq == 0
        viewer.expect("ended")

    def test_frame_before_hello(self, scene: Scene) -> None:
        client = scene.connect().upgrade("/publish/remote")
        publish(client, envelope(0, key=True))
        assert client.read_close() == (1007, "a publisher's first message must be its hello")
        scene.refused(Column.REFUSED_PROTOCOL)

    def test_bad_hello(self, scene: Scene) -> None:
        client = scene.connect().upgrade("/publish/remote")
        client.say(HELLO | {"width": -1})
        code, reason = client.read_close()
        assert code == 1007
        assert "width must be 0 to 65536 pixels" in reason
        scene.refused(Column.REFUSED_PROTOCOL)

    def test_text(self, scene: Scene) -> None:
        publisher = connect(scene)
        publisher.send(masked(1, b"{}"))
        assert publisher.read_close()[0] == 1003
        scene.refused(Column.REFUSED_PROTOCOL)

    def test_too_much_before_hello(self, scene: Scene) -> None:
        client = scene.connect().upgrade("/publish/remote")
        publish(client, b"\x80" * 65_537)
        assert client.read_close()[0] == 1009
        client.expect_fin()
        scene.refused(Column.REFUSED_PROTOCOL)

    def test_larger_than_the_limit(self, start_fleet: Callable[..., Fleet]) -> None:
        with stage(start_fleet(limits=Limits(max_publish_message=200_000))) as scene:
            publisher = connect(scene)
            viewer = watch(scene)
            fits = envelope(0, b"x" * 199_970, key=True)
            publish(publisher, fits)
            assert viewer.binary() == fits
            publish(publisher, envelope(1, b"x" * 200_000, key=True))
            assert publisher.read_close()[0] == 1009
            scene.refused(Column.REFUSED_PROTOCOL)
            viewer.expect("ended")

    def test_larger_than_the_ring_takes(self, start_fleet: Callable[..., Fleet]) -> None:
        with stage(start_fleet(limits=Limits(publish_ring=1 << 16))) as scene:
            publisher = connect(scene)
            viewer = watch(scene)
            publish(publisher, fits := envelope(0, b"x" * 10_000, key=True))
            assert viewer.binary() == fits
            publish(publisher, envelope(1, b"x" * 20_000, key=True))
            code, reason = publisher.read_close()
            assert code == 1009
            assert "does not fit" in reason
            scene.refused(Column.REFUSED_LIMIT)
            viewer.expect("ended")

    def test_a_bad_name_is_refused_before_hello(self, scene: Scene) -> None:
        client = scene.connect().upgrade("/publish/a%2Fb")
        code, reason = client.read_close()
        assert code == 1008
        assert "invalid stream name" in reason
        scene.refused(Column.REFUSED_NAME)
