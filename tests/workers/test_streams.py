"""Viewers of real streams: from a publisher's `write` to a browser's socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgpack
import pytest

import bus
from bus import TakenOver
from bus.frame import encode
from bus.names import stream_object
from bus.stream import inspect_stream
from tests.platforms import path_of
from tests.workers.client import Client
from tests.workers.harness import Fleet, wait_until
from tests.workers.scene import Scene, numbers, stage, watch
from workers.settings import Limits
from workers.table import Column

Starter = Callable[..., Fleet]

_DYING = """
import sys
from bus import Publisher
publisher = Publisher("movie", codec="vp8", instance=sys.argv[1])
publisher.write(b"key", key=True)
publisher.write(b"delta")
print("written", flush=True)
sys.stdin.read()
"""


def _counted(scene: Scene, due: int) -> bool:
    return scene.count(Column.FRAMES_SENT) == due


def _data_segments(sock: socket.socket) -> int:
    """Segments with data that a socket has received: ``tcpi_data_segs_in`` [4.6]."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 156)
    return int.from_bytes(info[152:156], sys.byteorder)


class TestJoining:
    """A viewer starts at once, with the newest key frame that the ring has."""

    def test_gets_an_old_key_frame_and_all_after_it(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8", width=640, height=480, fps=25.0, init=b"avcC")
        for number in range(100):
            publisher.write(b"%d" % number, key=number in (0, 40))
        client = scene.connect().upgrade("/view/movie")
        hello = client.expect("hello")
        now = time.time_ns() // 1000
        assert abs(hello.pop("server_us") - now) < 60_000_000
        assert hello == {
            "type": "hello",
            "stream": "movie",
            "codec": "vp8",
            "width": 640,
            "height": 480,
            "fps": 25.0,
            "init": b"avcC",
            "offset_us": 0,
            "epoch": publisher.epoch,
            "worker": 0,
        }
        pictures = client.pictures(60)
        assert numbers(pictures) == list(range(40, 100))
        assert [picture.payload for picture in pictures] == [b"%d" % n for n in range(40, 100)]
        assert [picture.key for picture in pictures] == [True] + [False] * 59

    def test_the_second_viewer_starts_there_too(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8")
        publisher.write(b"key", key=True)
        first = watch(scene, publisher)
        assert numbers(first.pictures(1)) == [0]
        publisher.write(b"delta")
        assert numbers(first.pictures(1)) == [1]
        second = watch(scene, publisher)
        assert numbers(second.pictures(2)) == [0, 1]

    def test_who_waits_for_the_publisher_gets_its_first_frame(self, scene: Scene) -> None:
        client = scene.viewer("movie")
        publisher = scene.publish("movie", "vp8")
        publisher.write(b"key", key=True)
        assert client.expect("live") == {
            "type": "live",
            "stream": "movie",
            "epoch": publisher.epoch,
        }
        client.expect("hello")
        assert numbers(client.pictures(1)) == [0]

    def test_without_a_key_frame_in_the_ring_one_is_asked_for(self, scene: Scene) -> None:
        # A stream that the worker still watches from before, it could have read in time.
        publisher = scene.publish("lapped", "vp8", capacity=64 * 1024)
        publisher.write(b"key", key=True)
        for _ in range(20):
            publisher.write(b"d" * 10_000)
        client = watch(scene, publisher)
        wait_until(lambda: publisher.key_requested, "key frame asked for")
        publisher.write(b"delta")
        key = publisher.write(b"key", key=True)
        assert numbers(client.pictures(1)) == [key]

    def test_a_worker_that_is_full_says_so(self, start_fleet: Starter) -> None:
        with stage(start_fleet(limits=Limits(max_viewers=2))) as scene:
            scene.viewer()
            refused = scene.connect().upgrade("/view/quiet")
            code, reason = refused.read_close()
            assert code == 1013
            assert "full" in reason
            refused.close()
            scene.refused(Column.REFUSED_LIMIT)

    def test_viewers_are_counted_in_the_stream(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8")
        clients = [watch(scene, publisher) for _ in range(3)]
        instance = scene.fleet.instance
        assert inspect_stream(instance, "movie").viewers == 3
        clients.pop().say_close()
        wait_until(lambda: inspect_stream(instance, "movie").viewers == 2, "viewer counted out")


class TestFrames:
    """The bytes that the publisher packed, in order, to everybody."""

    def test_envelopes_arrive_unchanged(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8")
        clients = [watch(scene, publisher) for _ in range(3)]
        sizes = [0, 1, 113, 114, 125, 126, 65_500, 65_536, 1_000_000]
        sent = [
            encode(number + 5, -number, 2**50 + number, int(number == 0), os.urandom(size))
            for number, size in enumerate(sizes)
        ]
        for number, envelope in enumerate(sent):
            publisher.write_envelope(envelope, key=number == 0)
            for client in clients:
                assert client.binary() == envelope

    def test_a_burst_arrives_in_order(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8")
        clients = [watch(scene, publisher) for _ in range(5)]
        for number in range(500):
            publisher.write(b"%d" % number * 20, key=number == 0)
        for client in clients:
            assert numbers(client.pictures(500)) == list(range(500))
        assert scene.count(Column.FRAMES_SENT) >= 2500

    @pytest.mark.skipif(sys.platform != "linux", reason="optional: counts of segments are Linux's")
    @pytest.mark.parametrize("engine", ["asyncio", "auto"])
    def test_a_frame_does_not_wait_for_an_acknowledgement(
        self, start_fleet: Starter, engine: str
    ) -> None:
        """TCP_NODELAY: the peer's kernel acknowledges late, and each frame has its own segment."""
        with stage(start_fleet(engine=engine)) as scene:
            publisher = scene.publish("movie", "vp8")
            client = watch(scene, publisher)
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            sent, before = scene.count(Column.FRAMES_SENT), _data_segments(client.sock)
            # Fewer than a congestion window begins with.
            for number in range(1, 9):
                publisher.write(b"small", key=True)
                wait_until(partial(_counted, scene, sent + number), "frame sent")
            assert len(client.pictures(8)) == 8
            assert _data_segments(client.sock) - before >= 8

    def test_clock_offset_is_told(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8")
        publisher.set_clock_offset(-123_456)
        client = scene.connect().upgrade("/view/movie")
        assert client.expect("hello")["offset_us"] == -123_456
        client.say({"type": "ping", "t0": 5})
        assert client.expect("pong")["offset_us"] == -123_456


class TestPublishers:
    """Publishers come and go; the viewers' sockets stay."""

    def test_closes_and_another_comes(self, scene: Scene) -> None:
        first = scene.publish("movie", "vp8")
        client = watch(scene, first)
        first.write(b"key", key=True)
        assert numbers(client.pictures(1)) == [0]
        first.close()
        ended = client.expect("ended")
        assert ended == {
            "type": "ended",
            "stream": "movie",
            "reason": "the publisher ended the stream",
        }
        second = scene.publish("movie", "mjpeg")
        assert client.expect("live")["epoch"] == second.epoch
        assert client.expect("hello")["codec"] == "mjpeg"
        second.write(b"picture")
        assert client.picture().payload == b"picture"

    def test_the_last_frames_come_before_the_end(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8")
        client = watch(scene, publisher)
        for number in range(50):
            publisher.write(b"x" * 5000, key=number == 0)
        publisher.close()
        assert numbers(client.pictures(50)) == list(range(50))
        client.expect("ended")

    def test_dies_and_another_goes_on(self, scene: Scene) -> None:
        instance = scene.fleet.instance
        root = str(Path(bus.__file__).parents[1])
        with subprocess.Popen(
            [sys.executable, "-c", _DYING, instance],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
        ) as dying:
            assert dying.stdout is not None
            assert dying.stdout.readline().rstrip() == b"written"
            client = scene.connect().upgrade("/view/movie")
            epoch = client.expect("hello")["epoch"]
            assert numbers(client.pictures(2)) == [0, 1]
            dying.kill()
        assert client.expect("ended")["reason"] == "the publisher is gone"
        late = scene.viewer("movie")
        publisher = scene.publish("movie", "vp8")
        publisher.write(b"delta that nobody can decode")
        publisher.write(b"key", key=True)
        for viewer in (client, late):
            assert viewer.expect("live")["epoch"] == publisher.epoch > epoch
            assert viewer.expect("hello")["epoch"] == publisher.epoch
            assert viewer.picture().payload == b"key"

    def test_is_taken_over(self, scene: Scene) -> None:
        first = scene.publish("movie", "vp8")
        client = watch(scene, first)
        first.write(b"key", key=True)
        assert client.picture().payload == b"key"
        second = scene.publish("movie", "vp8", takeover=True)
        with pytest.raises(TakenOver):
            first.write(b"too late", key=True)
        assert "takes the stream over" in client.expect("ended")["reason"]
        assert client.expect("live")["epoch"] == second.epoch > first.epoch
        client.expect("hello")
        second.write(b"delta")
        second.write(b"second key", key=True)
        assert client.picture().payload == b"second key"

    def test_new_init_data_is_told_before_the_first_frame_that_needs_it(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8", init=b"one")
        client = watch(scene, publisher)
        publisher.write(b"old", key=True)
        publisher.update(init=b"two", width=320)
        publisher.write(b"delta")
        key = publisher.write(b"new", key=True)
        assert client.picture().payload == b"old"
        hello = client.expect("hello")
        assert (hello["init"], hello["width"], hello["epoch"]) == (b"two", 320, publisher.epoch)
        picture = client.picture()
        assert (picture.seq, picture.payload) == (key, b"new")

    def test_a_foreign_file_in_the_way_is_reported_once_and_harms_nobody(
        self, start_fleet: Starter
    ) -> None:
        fleet = start_fleet()
        path = Path(path_of(stream_object(fleet.instance, "broken")))
        with stage(fleet) as scene:
            path.write_bytes(b"not a segment" * 1000)
            fleet.expected_error = "was not made by this program"
            client = scene.viewer("broken")
            scene.viewer("broken")
            path.unlink()
            publisher = scene.publish("broken")
            publisher.write(b"mended")
            client.expect("live")
            client.expect("hello")
            assert client.picture().payload == b"mended"


class TestRequests:
    """What a player asks for."""

    def test_pause_and_resume(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8")
        client, other = watch(scene, publisher), watch(scene, publisher)
        publisher.write(b"key", key=True)
        assert numbers(client.pictures(1)) == [0]
        client.say({"type": "pause"})
        self.confirm(client)
        for number in range(1, 30):
            publisher.write(b"hidden", key=number == 20)
        assert numbers(other.pictures(30)) == list(range(30))
        client.say({"type": "resume"})
        # Nothing came meanwhile: the next is the newest key frame.
        assert numbers(client.pictures(10)) == list(range(20, 30))
        publisher.write(b"after")
        assert numbers(client.pictures(1)) == [30]
        scene.counted(Column.SKIPPED_HIDDEN, 19)

    def test_a_new_key_frame(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8")
        publisher.write(b"key", key=True)
        client, other = watch(scene, publisher), watch(scene, publisher)
        assert numbers(client.pictures(1)) == [0]
        assert not publisher.key_requested
        client.say({"type": "key"})
        wait_until(lambda: publisher.key_requested, "key frame asked for")
        for _ in range(4):
            publisher.write(b"delta")
        publisher.write(b"key", key=True)
        assert numbers(client.pictures(1)) == [5]
        assert numbers(other.pictures(6)) == list(range(6))
        scene.counted(Column.SKIPPED_DECODER, 4)

    def test_statistics_are_taken(self, scene: Scene) -> None:
        client = scene.viewer()
        client.say({"type": "stats", "decoded": 100, "dropped": 2, "latency_ms": 41.5})
        client.say({"type": "pong", "t0": 1, "t1": 2})
        self.confirm(client)
        scene.counted(Column.VIEWER_DECODED, 100)
        scene.counted(Column.VIEWER_DROPPED, 2)
        scene.counted(Column.LATENCY_1, 1)

    @staticmethod
    def confirm(client: Client) -> None:
        """Return when the worker has handled what the client said."""
        client.say({"type": "ping", "t0": 77})
        assert client.expect("pong")["t0"] == 77


class TestRaw:
    """``?format=raw``: init data, then bare payloads, nothing else."""

    def test_init_then_payloads(self, scene: Scene) -> None:
        publisher = scene.publish("movie", "vp8", init=b"header")
        publisher.write(b"key", key=True)
        publisher.write(b"delta")
        client = scene.connect().upgrade("/view/movie?format=raw")
        assert [client.binary() for _ in range(3)] == [b"header", b"key", b"delta"]
        publisher.write(b"w" * 70_000)
        assert client.binary() == b"w" * 70_000

    def test_without_init_payloads_alone(self, scene: Scene) -> None:
        client = scene.connect().upgrade("/view/movie?format=raw")
        publisher = scene.publish("movie")
        publisher.write(b"picture")
        assert client.binary() == b"picture"
        publisher.close()
        successor = scene.publish("movie")
        successor.write(b"next")
        assert client.binary() == b"next"

    def test_beside_a_player(self, scene: Scene) -> None:
        publisher = scene.publish("movie")
        player = watch(scene, publisher)
        raw = scene.connect().upgrade("/view/movie?format=raw")
        publisher.write(b"picture")
        assert raw.binary() == b"picture"
        assert msgpack.unpackb(player.binary())[4] == b"picture"
