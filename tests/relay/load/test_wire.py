"""Messages come out alike however the network cuts them."""

from __future__ import annotations

import msgpack
import pytest
from websockets.frames import Frame, Opcode

from bus.frame import encode
from relay.load.wire import BINARY, CLOSE, FrameReader, WireError

Seen = list[tuple[object, ...]]

FRAMES = [(0, 1), (127, 1 << 40), (128, 7), (70_000, 0), (1 << 33, 1_700_000_000_000_000)]
SIZES = (0, 10, 300, 70_000)


def server_message(opcode: Opcode, payload: bytes) -> bytes:
    return Frame(opcode, payload).serialize(mask=False)


def stream() -> tuple[bytes, Seen]:
    data = b""
    expected: Seen = []
    for size in SIZES:
        for seq, capture_us in FRAMES:
            envelope = encode(seq, -5, capture_us, seq & 3, b"x" * size)
            data += server_message(Opcode.BINARY, envelope)
            expected.append((seq, capture_us, seq & 3))
        hello = msgpack.packb({"type": "hello", "init": b"i" * min(size, 300)})
        data += server_message(Opcode.BINARY, hello)
        expected.append((BINARY, hello))
    data += server_message(Opcode.CLOSE, b"\x03\xe8bye")
    expected.append((CLOSE, b"\x03\xe8bye"))
    return data, expected


def read(data: bytes, cut: int) -> Seen:
    seen: Seen = []
    reader = FrameReader(lambda *frame: seen.append(frame), lambda *said: seen.append(said))
    for at in range(0, len(data), cut):
        reader.feed(memoryview(data)[at : at + cut])
    return seen


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 61, 64, 65, 4096, 1 << 30])
def test_cut_anywhere(cut: int) -> None:
    data, expected = stream()
    assert read(data, cut) == expected


@pytest.mark.parametrize("data", [b"\x82\x85abcde", b"\x02\x01a", b"\xc2\x01a"])
def test_what_a_server_may_not_send(data: bytes) -> None:
    """Masked, fragmented and compressed frames."""
    with pytest.raises(WireError):
        read(data, 1 << 30)
