"""The envelope: what goes in comes out, anything else is FrameInvalid."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import FrameInvalid
from bus.frame import INIT_CHANGED, KEY, Frame, decode, encode, payload_of

frames = st.builds(
    Frame,
    seq=st.integers(0, 2**64 - 1),
    pts_us=st.integers(-(2**63), 2**64 - 1),
    capture_us=st.integers(0, 2**64 - 1),
    flags=st.integers(0, 3),
    payload=st.one_of(st.binary(max_size=600), st.sampled_from([b"x" * 65535, b"y" * 65536])),
)


@given(frames)
def test_round_trip(frame: Frame) -> None:
    envelope = encode(frame.seq, frame.pts_us, frame.capture_us, frame.flags, frame.payload)
    assert decode(envelope) == frame
    assert decode(memoryview(envelope)) == frame
    assert payload_of(envelope) == frame.payload
    assert envelope.endswith(frame.payload)


@given(frames, st.sampled_from([bytes, bytearray, memoryview]))
def test_any_buffer_is_a_payload(frame: Frame, kind: Any) -> None:
    assert decode(encode(0, 0, 0, 0, kind(frame.payload))).payload == frame.payload


def test_the_wire_is_a_plain_msgpack_array() -> None:
    assert encode(1, 2, 3, KEY | INIT_CHANGED, b"ab") == b"\x95\x01\x02\x03\x03\xc4\x02ab"


def test_the_payload_is_a_view() -> None:
    envelope = encode(1, 2, 3, 0, b"abc")
    assert payload_of(envelope).obj is envelope


@pytest.mark.parametrize(("flags", "key"), [(0, False), (1, True), (2, False), (3, True)])
def test_key(flags: int, key: bool) -> None:
    assert Frame(0, 0, 0, flags, b"").key is key


BAD_NUMBERS: list[Any] = [1.5, "1", None, True, b"1", [1], 2**64, -(2**63) - 1]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_numbers_that_are_none(place: int, number: Any) -> None:
    """A publisher hears of it, not its viewers."""
    values: list[Any] = [0, 0, 0, 0, b""]
    values[place] = number
    name = ("seq", "pts_us", "capture_us", "flags")[place]
    with pytest.raises(FrameInvalid, match=f"a frame's {name} "):
        encode(*values)
    if not isinstance(number, int) or isinstance(number, bool):
        with pytest.raises(FrameInvalid, match=f"a frame's {name} "):
            decode(msgpack.packb(values))


def test_only_the_media_clock_may_be_negative() -> None:
    assert decode(encode(0, -1, 0, 0, b"")).pts_us == -1
    for values in ((-1, 0, 0, 0), (0, 0, -1, 0), (0, 0, 0, -1)):
        with pytest.raises(FrameInvalid, match="out of range"):
            encode(*values, b"")
        with pytest.raises(FrameInvalid, match="out of range"):
            decode(msgpack.packb([*values, b""]))


@pytest.mark.parametrize("payload", ["text", None, 5, [1, 2]])
def test_payloads_that_are_none(payload: Any) -> None:
    with pytest.raises(FrameInvalid, match="payload must be"):
        encode(0, 0, 0, 0, payload)
    with pytest.raises(FrameInvalid, match="payload must be"):
        decode(msgpack.packb([0, 0, 0, 0, payload]))


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"\x95",
        b"\x90",
        msgpack.packb([0, 0, 0, b""]),
        msgpack.packb([0, 0, 0, 0, b"", 0]),
        msgpack.packb({"type": "hello"}),
        b"\xdc\x00\x05\x00\x00\x00\x00\xc4\x00",
        encode(0, 0, 0, 0, b"abc")[:-1],
        encode(0, 0, 0, 0, b"abc") + b"\0",
        b"\x95" * 5000,
    ],
)
def test_malformed(envelope: bytes) -> None:
    with pytest.raises(FrameInvalid) as caught:
        decode(envelope)
    assert "\n" not in str(caught.value)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda b: b"\x95" + b)))
def test_fuzz(data: bytes) -> None:
    """Accepted or FrameInvalid, nothing else; what is accepted survives packing again."""
    with contextlib.suppress(FrameInvalid):
        frame = decode(data)
        assert payload_of(data) == frame.payload
        assert decode(encode(*(getattr(frame, name) for name in Frame.__slots__))) == frame


@given(frames, st.data())
def test_fuzz_of_almost_frames(frame: Frame, data: st.DataObject) -> None:
    envelope = bytearray(encode(frame.seq, 0, 0, frame.flags, frame.payload[:50]))
    place = data.draw(st.integers(0, len(envelope) - 1))
    envelope[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FrameInvalid):
        assert isinstance(decode(bytes(envelope)), Frame)
