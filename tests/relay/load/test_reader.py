"""Messages come out alike however the network cuts them, and no bit may differ."""

from __future__ import annotations

import msgpack
import pytest
from websockets.frames import Frame, Opcode

from bus.frame import encode
from relay.load.known import KnownFrame, KnownFrames
from relay.load.reader import FrameReader, WireError
from relay.load.seal import seal
from relay.load.wire import BINARY, CLOSE

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
            envelope = encode(seq, -5, capture_us, seq & 3, bytes([size & 255]) * size)
            data += server_message(Opcode.BINARY, envelope)
            expected.append((seq, capture_us, seq & 3, True, (False, "")))
        hello = msgpack.packb({"type": "hello", "init": b"i" * min(size, 300)})
        data += server_message(Opcode.BINARY, hello)
        expected.append((BINARY, hello))
    data += server_message(Opcode.CLOSE, b"\x03\xe8bye")
    expected.append((CLOSE, b"\x03\xe8bye"))
    return data, expected


def read(data: bytes, cut: int, known: KnownFrames | None = None) -> Seen:
    seen: Seen = []

    def frame(found: KnownFrame, good: bool) -> None:
        seen.append((found.seq, found.capture_us, found.flags, good, found.verdict()))

    reader = FrameReader(
        KnownFrames() if known is None else known, frame, lambda *said: seen.append(said)
    )
    for at in range(0, len(data), cut):
        reader.feed(memoryview(data)[at : at + cut])
    return seen


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 61, 64, 65, 4096, 1 << 30])
def test_cut_anywhere(cut: int) -> None:
    data, expected = stream()
    assert read(data, cut) == expected


@pytest.mark.parametrize("cut", [7, 64, 4096, 1 << 30])
def test_the_second_viewer_sees_what_the_first_did(cut: int) -> None:
    data, expected = stream()
    known = KnownFrames()
    assert read(data, 1000, known) == expected
    assert read(data, cut, known) == expected


def test_what_was_forgotten_is_taken_apart_again() -> None:
    data, expected = stream()
    known = KnownFrames(limit=1000)
    assert read(data, 4096, known) == expected
    assert read(data, 4096, known) == expected


@pytest.mark.parametrize("at", [70, 1000, -1])
def test_a_viewer_that_gets_other_bytes_than_the_first(at: int) -> None:
    message = server_message(Opcode.BINARY, encode(5, 0, 9, 1, bytes(5000)))
    bent = bytearray(message)
    bent[at] ^= 1
    known = KnownFrames()
    assert [good for *_, good, _ in read(message, 700, known)] == [True]
    assert [good for *_, good, _ in read(bytes(bent), 900, known)] == [False]
    assert [good for *_, good, _ in read(message + message, 900, known)] == [True, True]


@pytest.mark.parametrize("at", [70, 3000, -1])
def test_a_seal_is_checked(at: int) -> None:
    message = bytearray(server_message(Opcode.BINARY, encode(5, 0, 77, 1, seal(bytes(5000), 77))))
    assert read(bytes(message), 800)[0][-1] == (True, "")
    message[at] ^= 0x10
    assert read(bytes(message), 800)[0][-1] == (True, "a payload whose checksum is wrong")


def test_a_seal_of_another_frame() -> None:
    message = server_message(Opcode.BINARY, encode(5, 0, 78, 1, seal(b"", 77)))
    (found,) = read(message, 800)
    assert found[-1] == (True, "a payload of another frame than its header says")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x82\x85abcde", id="masked"),
        pytest.param(b"\x02\x01a", id="fragmented"),
        pytest.param(b"\xc2\x01a", id="compressed"),
        pytest.param(b"\x82\x03\x95\x01\x01", id="cut short"),
        pytest.param(b"\x82\x06\x95\x01\x01\x01\x01\x01", id="without a payload"),
        pytest.param(b"\x82\x03\x95\xa1a", id="words for numbers"),
    ],
)
def test_what_a_server_may_not_send(data: bytes) -> None:
    with pytest.raises(WireError):
        read(data, 1 << 30)
