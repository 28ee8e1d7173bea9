"""What a WebSocket peer may send: answered as RFC 6455 says, or closed with the right code."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable

import msgpack
import pytest
from websockets.frames import Opcode

from tests.workers.client import Client, masked
from tests.workers.harness import WATCHDOG, Fleet
from tests.workers.scene import Scene, stage
from workers.settings import Limits
from workers.table import Column

PING = msgpack.packb({"type": "ping", "t0": 17})

VIOLATIONS: dict[str, tuple[int, bytes]] = {
    "unmasked": (1002, b"\x82\x01a"),
    "reserved data opcode": (1002, masked(0x3, b"x")),
    "reserved control opcode": (1002, masked(0xB, b"x")),
    "reserved bit": (1002, masked(0x2, b"x", rsv=4)),
    "fragmented control frame": (1002, masked(0x9, b"x", fin=False)),
    "long control frame": (1002, masked(0x9, b"x" * 126)),
    "continuation of nothing": (1002, masked(0x0, b"x")),
    "message within a message": (1002, masked(0x2, b"x", fin=False) + masked(0x2, b"y")),
    "close within a message": (1002, masked(0x2, b"x", fin=False) + masked(0x8, b"\x03\xe8")),
    "close of one byte": (1002, masked(0x8, b"\x03")),
    "close with code 1005": (1002, masked(0x8, b"\x03\xed")),
    "close with code 5000": (1002, masked(0x8, b"\x13\x88")),
    "close with bad UTF-8": (1007, masked(0x8, b"\x03\xe8\xff\xfe")),
    "text": (1003, masked(0x1, b'{"type": "ping"}')),
    "fragmented text": (1003, masked(0x1, b"a", fin=False) + masked(0x0, b"b")),
    "no msgpack": (1007, masked(0x2, b"\xc1")),
    "empty message": (1007, masked(0x2, b"")),
    "map without type": (1007, masked(0x2, msgpack.packb({"a": 1}))),
    "unknown type": (1007, masked(0x2, msgpack.packb({"type": "hello"}))),
    "frame from a viewer": (1007, masked(0x2, msgpack.packb([0, 1, 2, 1, b"x"]))),
    "ping with a word for a time": (1007, masked(0x2, msgpack.packb({"type": "ping", "t0": "x"}))),
    "oversize": (1009, masked(0x2, b"x" * 4097)),
    "oversize in parts": (1009, masked(0x2, b"x" * 4000, fin=False) + masked(0x0, b"x" * 97)),
    "announced oversize": (1009, b"\x82\xff" + (2**62).to_bytes(8)),
}


class TestViolations:
    """Each ends its own connection with the right code, and no other."""

    @pytest.mark.parametrize(("code", "data"), VIOLATIONS.values(), ids=VIOLATIONS)
    def test_closes_with(self, scene: Scene, code: int, data: bytes) -> None:
        client = scene.viewer()
        client.send(data)
        assert client.read_close()[0] == code
        scene.exchange()
        client.expect_fin()
        client.finish()
        scene.gone()
        client.assert_no_reset()
        scene.refused(Column.REFUSED_PROTOCOL)

    @pytest.mark.parametrize(("code", "data"), VIOLATIONS.values(), ids=VIOLATIONS)
    def test_closes_behind_video_with(self, scene: Scene, code: int, data: bytes) -> None:
        client = scene.connect().upgrade("/view/cam")
        client.dribble(data[:200])
        client.send(data[200:])
        scene.exchange()
        assert client.read_close()[0] == code
        client.close()
        scene.gone()
        scene.refused(Column.REFUSED_PROTOCOL)

    def test_the_rest_of_an_oversize_message_is_drained(self, scene: Scene) -> None:
        client = scene.viewer()
        client.send(masked(2, b"x" * 2_000_000))
        assert client.read_close()[0] == 1009
        client.expect_fin()
        client.finish()
        scene.gone()
        client.assert_no_reset()
        scene.refused(Column.REFUSED_PROTOCOL)

    def test_messages_behind_a_violation_are_not_acted_on(self, scene: Scene) -> None:
        client = scene.viewer()
        client.send(masked(1, b"text") + masked(2, PING) + masked(1, b"again"))
        assert client.frame().opcode is Opcode.CLOSE
        client.close()
        scene.gone()
        scene.refused(Column.REFUSED_PROTOCOL)


class TestMessages:
    """Well-formed traffic in every shape that TCP and RFC 6455 allow."""

    @pytest.mark.parametrize("payload", [b"", b"x", b"y" * 125], ids=len)
    def test_ping_is_answered(self, scene: Scene, payload: bytes) -> None:
        client = scene.viewer()
        client.send(masked(Opcode.PING, payload))
        pong = client.frame()
        assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, payload)

    def test_unsolicited_pong_is_ignored(self, scene: Scene) -> None:
        client = scene.viewer()
        client.send(masked(Opcode.PONG, b"out of the blue") + masked(2, PING))
        assert client.expect("pong")["t0"] == 17

    def test_message_in_fragments_with_a_ping_between(self, scene: Scene) -> None:
        client = scene.viewer()
        client.send(masked(2, PING[:3], fin=False))
        client.send(masked(Opcode.PING, b"between"))
        client.send(masked(0, b"", fin=False) + masked(0, PING[3:5], fin=False))
        client.send(masked(0, PING[5:]))
        # In which order depends on how TCP cut them.
        answers = {client.frame().opcode: None for _ in range(2)}
        assert answers.keys() == {Opcode.PONG, Opcode.BINARY}

    def test_message_byte_by_byte(self, scene: Scene) -> None:
        client = scene.viewer()
        client.dribble(masked(2, PING))
        assert client.expect("pong")["t0"] == 17

    def test_many_messages_at_once(self, scene: Scene) -> None:
        client = scene.viewer()
        pings = [msgpack.packb({"type": "ping", "t0": number}) for number in range(200)]
        client.send(b"".join(masked(2, ping) for ping in pings))
        assert [client.expect("pong")["t0"] for _ in pings] == list(range(200))

    def test_largest_message_is_accepted(self, scene: Scene) -> None:
        client = scene.viewer()
        stats = {"type": "stats", "decoded": 1, "dropped": 2, "latency_ms": None}
        padding = 4096 - len(msgpack.packb(stats | {"pad": b"\0" * 300})) + 300
        message = msgpack.packb(stats | {"pad": b"\0" * padding})
        assert len(message) == 4096
        client.send(masked(2, message) + masked(2, PING))
        client.expect("pong")

    def test_pong_carries_both_clocks(self, scene: Scene) -> None:
        client = scene.viewer()
        client.say({"type": "ping", "t0": 123_456})
        pong = client.expect("pong")
        assert pong["t0"] == 123_456
        assert pong["t1"] > 1_600_000_000_000_000
        assert pong["offset_us"] == 0


def flood(client: Client, question: bytes) -> None:
    """Ask without ever reading an answer, until the relay resets the connection."""
    client.sock.setblocking(False)
    rest = memoryview(question)
    while True:
        try:
            rest = rest[client.sock.send(rest) :] or memoryview(question)
        except BlockingIOError:
            _, writable, _ = select.select([], [client.sock], [], WATCHDOG)
            assert writable, "the relay neither reads on nor hangs up"
        except ConnectionError:
            return


class TestFloods:
    """Peers that make work and take no answers are cut off in bounded memory."""

    @pytest.mark.parametrize(
        "question",
        [masked(Opcode.PING, b"p" * 125), masked(2, PING)],
        ids=["ping frames", "ping messages"],
    )
    def test_a_peer_that_reads_no_answers(
        self, start_fleet: Callable[..., Fleet], question: bytes
    ) -> None:
        fleet = start_fleet(limits=Limits(max_publish_message=128 * 1024))
        with stage(fleet) as scene:
            before = fleet.worker.memory()
            client = scene.connect(receive_buffer=4096).upgrade("/view/quiet")
            flood(client, question * 400)
            scene.refused(Column.REFUSED_PROTOCOL)
            # The limit, what the kernel calls a page, and what the allocator keeps.
            assert fleet.worker.memory() - before < 4 << 20
            scene.exchange()

    @pytest.mark.slow
    def test_endless_empty_fragments_cost_no_memory(self, scene: Scene) -> None:
        client = scene.viewer()
        client.send(masked(2, PING[:1], fin=False))
        # What a read full of them costs is there for the next.
        first = self.memory_after(scene, client, 200_000)
        # A list of them alone would be twice this.
        assert self.memory_after(scene, client, 1_000_000) - first < 4 << 20
        client.send(masked(0, PING[1:]))
        assert client.expect("pong")["t0"] == 17

    @staticmethod
    def memory_after(scene: Scene, client: Client, fragments: int) -> int:
        worker = scene.fleet.worker
        flood = memoryview(masked(0, b"", fin=False) * fragments + masked(Opcode.PING))
        # All that the kernel takes at once, so that some reads are as large as they can be:
        # otherwise the first of those might come in the second measurement.
        worker.suspend()
        client.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while flood:
                flood = flood[client.sock.send(flood) :]
        client.sock.settimeout(WATCHDOG)
        worker.resume()
        client.send(bytes(flood))
        assert client.frame().opcode is Opcode.PONG
        return worker.memory()
