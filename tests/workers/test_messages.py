"""Messages: bytes and values, and what of a stranger's is accepted."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode

from bus.stream import Metadata
from workers import messages
from workers.errors import PeerError
from workers.table import Column

SIZES = [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000, 2**32]


def unwrap(message: bytes) -> dict[str, Any]:
    """The map in a message whose header must be right."""
    skip = {126: 4, 127: 10}.get(message[1], 2)
    body = message[skip:]
    assert message[:skip] == messages.header(len(body))
    value = msgpack.unpackb(body)
    assert isinstance(value, dict)
    return value


class TestHeader:
    """RFC 6455, section 5.2, in its three lengths."""

    @pytest.mark.parametrize(
        ("length", "header"),
        [
            (0, "8200"),
            (125, "827d"),
            (126, "827e007e"),
            (65_535, "827effff"),
            (65_536, "827f0000000000010000"),
            (2**40, "827f0000010000000000"),
        ],
    )
    def test_bytes(self, length: int, header: str) -> None:
        assert messages.header(length).hex() == header

    @pytest.mark.parametrize("size", SIZES[:-1])
    def test_is_what_websockets_writes(self, size: int) -> None:
        data = bytes(size)
        assert messages.header(size) + data == Frame(Opcode.BINARY, data).serialize(mask=False)


class TestOurs:
    """What we send."""

    def test_hello(self) -> None:
        metadata = Metadata("vp8", 640, 480, 29.97, b"init", "ws", "192.0.2.7", 3)
        before = messages.unix_us()
        hello = unwrap(messages.hello("cam", metadata, -5, 2))
        assert before <= hello.pop("server_us") <= messages.unix_us()
        # The publisher's address is nobody's business.
        assert hello == {
            "type": "hello",
            "stream": "cam",
            "codec": "vp8",
            "width": 640,
            "height": 480,
            "fps": 29.97,
            "init": b"init",
            "offset_us": -5,
            "epoch": 3,
            "worker": 2,
        }

    def test_small_ones(self) -> None:
        assert unwrap(messages.live("cam", 4)) == {"type": "live", "stream": "cam", "epoch": 4}
        assert unwrap(messages.ok("cam", 4)) == {"type": "ok", "stream": "cam", "epoch": 4}
        assert unwrap(messages.ended("cam", "why")) == {
            "type": "ended",
            "stream": "cam",
            "reason": "why",
        }
        assert unwrap(messages.KEY_REQUEST) == {"type": "key"}

    def test_clocks(self) -> None:
        before = messages.unix_us()
        ping, pong = unwrap(messages.ping()), unwrap(messages.pong(-3, 11))
        assert before <= ping["t0"] <= pong["t1"] <= messages.unix_us()
        assert (pong["t0"], pong["offset_us"]) == (-3, 11)


class TestParsing:
    """What strangers send."""

    def test_a_map_with_a_type(self) -> None:
        assert messages.parse_map(msgpack.packb({"type": "x", "a": 1})) == {"type": "x", "a": 1}

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xc1",
            msgpack.packb({}),
            msgpack.packb({"type": 3}),
            msgpack.packb({"type": b"ping"}),
            msgpack.packb([1]),
            msgpack.packb("ping"),
            msgpack.packb({"type": "x"}) + b"\0",
            msgpack.packb({"type": "x"})[:-1],
            b"\x81\x91\x01\x02",
            b"\x82\xa4type\xa1x\xa1a\xc7\xff\x05",
            b"\x81\xa4type\xa1\xff",
            b"\x91" * 100_000,
            b"\xdf\xff\xff\xff\xff",
        ],
        ids=lambda data: repr(data)[:40],
    )
    def test_anything_else_is_the_peers_error(self, data: bytes) -> None:
        with pytest.raises(PeerError, match="must be a msgpack map with a 'type'") as refused:
            messages.parse_map(data)
        assert refused.value.code == CloseCode.INVALID_DATA
        assert refused.value.column is Column.REFUSED_PROTOCOL

    def test_what_claims_to_be_a_frame(self) -> None:
        assert messages.is_frame(msgpack.packb([0, 0, 0, 1, b""]))
        assert messages.is_frame(msgpack.packb([]))
        assert not messages.is_frame(msgpack.packb({}))
        assert not messages.is_frame(b"")

    @pytest.mark.parametrize("number", [0, -(2**63), 2**63 - 1])
    def test_integers(self, number: int) -> None:
        assert messages.integer({"type": "x", "n": number}, "n") == number

    def test_an_absent_integer_is_zero(self) -> None:
        assert messages.integer({"type": "x"}, "n") == 0
        assert messages.integer({"type": "x", "n": None}, "n") == 0

    @pytest.mark.parametrize("value", [True, 1.0, "1", 2**63, -(2**63) - 1, [], {}])
    def test_no_integers(self, value: object) -> None:
        with pytest.raises(PeerError, match="'x' message: n must be an integer"):
            messages.integer({"type": "x", "n": value}, "n")


HELLO: dict[str, Any] = {
    "type": "hello",
    "codec": "avc1.64001f",
    "width": 1280,
    "height": 720,
    "fps": 25,
    "init": b"avcC",
}


class TestPublisherHello:
    """A publisher's hello, field by field."""

    def test_whole(self) -> None:
        hello = messages.publisher_hello(HELLO)
        assert hello == messages.PublisherHello("avc1.64001f", 1280, 720, 25.0, b"avcC")

    def test_only_the_codec_is_needed(self) -> None:
        hello = messages.publisher_hello({"type": "hello", "codec": "mjpeg"})
        assert hello == messages.PublisherHello("mjpeg", 0, 0, 0.0, b"")

    def test_no_init(self) -> None:
        assert messages.publisher_hello(HELLO | {"init": None}).init == b""

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("codec", None),
            ("codec", ""),
            ("codec", b"vp8"),
            ("codec", "x" * 129),
            ("codec", "vp8\n"),
            ("width", -1),
            ("width", 65_537),
            ("width", "wide"),
            ("height", 1.5),
            ("fps", -1),
            ("fps", 1001),
            ("fps", float("nan")),
            ("fps", float("inf")),
            ("fps", True),
            ("fps", "25"),
            ("init", "text"),
            ("init", [1]),
            ("init", bytes(12_289)),
        ],
    )
    def test_refuses(self, field: str, value: object) -> None:
        with pytest.raises(PeerError, match=f"'hello' message: {field} must be ") as refused:
            messages.publisher_hello(HELLO | {field: value})
        assert refused.value.code == CloseCode.INVALID_DATA


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(["type", "codec", "width", "height", "fps", "init", "t0"])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_map_or_the_peers_error(data: bytes) -> None:
    """Accepted or the documented error, nothing else."""
    try:
        value = messages.parse_map(data)
    except PeerError:
        return
    assert isinstance(value["type"], str)


@given(st.dictionaries(FIELDS, VALUES))
def test_any_map_is_a_hello_or_the_peers_error(value: dict[str, Any]) -> None:
    """Accepted or the documented error; what is accepted fits into a stream's metadata."""
    try:
        parsed = messages.parse_map(msgpack.packb(value))
        hello = messages.publisher_hello(parsed)
    except PeerError as error:
        assert len(error.reason) < 200
        return
    assert isinstance(hello, messages.PublisherHello)
    assert 0 <= hello.width <= 65_536
    assert 0 <= hello.fps <= 1000


@given(st.sampled_from(list(HELLO)), VALUES)
def test_any_value_in_any_field_of_a_hello(field: str, value: Any) -> None:
    try:
        messages.publisher_hello(messages.parse_map(msgpack.packb(HELLO | {field: value})))
    except PeerError as error:
        assert error.code == CloseCode.INVALID_DATA
