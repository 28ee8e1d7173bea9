"""The frame envelope: the msgpack array ``[seq, pts_us, capture_us, flags, payload]``.

A publisher packs it once. The ring, the ingest socket and every viewer carry the same
bytes, so nothing on the way encodes a payload again. The payload is last: a client can
take it as a view on the message.

This module knows no transport and no shared memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgpack

from bus.errors import FrameInvalid

__all__ = ["INIT_CHANGED", "KEY", "Frame", "decode", "encode", "payload_of"]

KEY: Final = 1
"""Flag: this frame can be decoded without any frame before it."""
INIT_CHANGED: Final = 2
"""Flag: the stream's init data changed; fetch it before decoding this frame."""

_ARRAY_OF_5 = 0x95
_UINT64_MAX = 2**64 - 1
_INT64_MIN = -(2**63)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stream.

    Attributes:
        seq: number of the frame within its publisher's life, from 0.
        pts_us: media clock, microseconds.
        capture_us: the publisher's Unix time at capture, microseconds.
        flags: `KEY`, `INIT_CHANGED`, or both.
        payload: the encoded picture or data.
    """

    seq: int
    pts_us: int
    capture_us: int
    flags: int
    payload: bytes

    @property
    def key(self) -> bool:
        """Whether this is a key frame."""
        return bool(self.flags & KEY)


def encode(
    seq: int,
    pts_us: int,
    capture_us: int,
    flags: int,
    payload: bytes | bytearray | memoryview,
) -> bytes:
    """Pack a frame into its envelope.

    Raises:
        FrameInvalid: when `decode` would refuse the result.
    """
    _check_numbers(seq, pts_us, capture_us, flags)
    if not isinstance(payload, (bytes, bytearray, memoryview)):
        raise FrameInvalid(f"a frame's payload must be bytes, not {type(payload).__name__}")
    packed: bytes = msgpack.packb((seq, pts_us, capture_us, flags, payload))
    return packed


def decode(envelope: bytes | bytearray | memoryview) -> Frame:
    """Unpack and check an envelope.

    Raises:
        FrameInvalid: when the bytes are not exactly one frame.
    """
    if not len(envelope) or envelope[0] != _ARRAY_OF_5:
        raise FrameInvalid("a frame must be a msgpack array of five values")
    try:
        value = msgpack.unpackb(envelope, use_list=False)
    except Exception as exc:
        # msgpack documents no closed set of errors for malformed input.
        raise FrameInvalid(f"a frame is not valid msgpack: {exc}") from None
    seq, pts_us, capture_us, flags, payload = value
    _check_numbers(seq, pts_us, capture_us, flags)
    if type(payload) is not bytes:
        raise FrameInvalid("a frame's payload must be msgpack bin")
    return Frame(seq, pts_us, capture_us, flags, payload)


def _check_numbers(seq: object, pts_us: object, capture_us: object, flags: object) -> None:
    for name, number, low in (
        ("seq", seq, 0),
        ("pts_us", pts_us, _INT64_MIN),
        ("capture_us", capture_us, 0),
        ("flags", flags, 0),
    ):
        if type(number) is not int:
            raise FrameInvalid(f"a frame's {name} must be an integer, not {number!r:.40}")
        if not low <= number <= _UINT64_MAX:
            raise FrameInvalid(f"a frame's {name} is out of range: {number}")


def payload_of(envelope: bytes) -> memoryview:
    """The payload of a well-formed envelope, as a view without copying.

    Args:
        envelope: bytes that `decode` accepts or `encode` made.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    # Five small scalars take at most 1 + 4 * 9 bytes, then the bin header of at most 5.
    unpacker.feed(envelope[:42])
    unpacker.read_array_header()
    for _ in range(4):
        unpacker.skip()
    start = unpacker.tell()
    header = {0xC4: 2, 0xC5: 3, 0xC6: 5}[envelope[start]]
    return memoryview(envelope)[start + header :]
