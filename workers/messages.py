"""The relay's messages: msgpack maps with a ``type``, and what is accepted of each.

Pure: bytes in, values out, and back. Frames are `bus.frame`'s; everything else is here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import msgpack
from websockets.frames import CloseCode

from bus.stream import Metadata
from workers.errors import PeerError
from workers.table import Column

__all__ = [
    "KEY_REQUEST",
    "PublisherHello",
    "ended",
    "header",
    "header_size",
    "hello",
    "integer",
    "is_frame",
    "live",
    "ok",
    "parse_map",
    "ping",
    "pong",
    "publisher_hello",
    "unix_us",
]

_BINARY_FIN: Final = 0x82
_CODEC_LIMIT: Final = 128
_DIMENSION_LIMIT: Final = 65_536
_FPS_LIMIT: Final = 1_000.0
_INIT_LIMIT: Final = 12_288
_ARRAY_MARKS: Final = range(0x90, 0xA0)


def unix_us() -> int:
    """This host's Unix time in microseconds."""
    return time.time_ns() // 1000


def header(length: int) -> bytes:
    """Header of an unmasked binary message of ``length`` bytes in one frame (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((_BINARY_FIN, length))
    if length < 65_536:
        return bytes((_BINARY_FIN, 126)) + length.to_bytes(2)
    return bytes((_BINARY_FIN, 127)) + length.to_bytes(8)


def header_size(message: bytes) -> int:
    """Bytes of the header that a whole message of ours begins with."""
    return {126: 4, 127: 10}.get(message[1], 2)


def _message(value: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(value)
    return header(len(packed)) + packed


def hello(stream: str, metadata: Metadata, clock_offset_us: int, worker: int) -> bytes:
    """What a viewer needs before a stream's frames, ready to send.

    Args:
        worker: place of the worker that serves it; tells apart who a lost worker affects.
    """
    return _message(
        {
            "type": "hello",
            "stream": stream,
            "codec": metadata.codec,
            "width": metadata.width,
            "height": metadata.height,
            "fps": metadata.fps,
            "init": metadata.init,
            "server_us": unix_us(),
            "offset_us": clock_offset_us,
            "epoch": metadata.epoch,
            "worker": worker,
        }
    )


def live(stream: str, epoch: int) -> bytes:
    """A publisher is there."""
    return _message({"type": "live", "stream": stream, "epoch": epoch})


def ended(stream: str, reason: str) -> bytes:
    """There is no publisher."""
    return _message({"type": "ended", "stream": stream, "reason": reason})


def ping() -> bytes:
    """A question for the peer's clock."""
    return _message({"type": "ping", "t0": unix_us()})


def pong(t0: int, clock_offset_us: int = 0) -> bytes:
    """The answer to a peer's question; tells viewers their publisher's clock, too."""
    return _message({"type": "pong", "t0": t0, "t1": unix_us(), "offset_us": clock_offset_us})


def ok(stream: str, epoch: int) -> bytes:
    """The publisher may send."""
    return _message({"type": "ok", "stream": stream, "epoch": epoch})


KEY_REQUEST: Final = _message({"type": "key"})
"""The publisher should send a key frame."""


def is_frame(message: bytes) -> bool:
    """Whether a message claims to be a frame and not a map."""
    return bool(message) and message[0] in _ARRAY_MARKS


def parse_map(message: bytes) -> dict[str, Any]:
    """A message that is no frame.

    Raises:
        PeerError: when it is not a msgpack map with a ``type``.
    """
    try:
        value = msgpack.unpackb(message)
    except Exception:
        # msgpack documents no closed set of errors for malformed input.
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise PeerError(
            CloseCode.INVALID_DATA,
            "a message must be a msgpack map with a 'type', or a frame",
            Column.REFUSED_PROTOCOL,
        )
    return value


def integer(value: dict[str, Any], name: str) -> int:
    """An integer field of a message, 0 when absent or nil.

    Raises:
        PeerError: when it is no integer of 64 bits.
    """
    number = value.get(name)
    if number is None:
        return 0
    if type(number) is not int or not -(2**63) <= number < 2**63:
        raise _wrong(value, name, "an integer")
    return number


def _wrong(value: dict[str, Any], name: str, expected: str) -> PeerError:
    return PeerError(
        CloseCode.INVALID_DATA,
        f"{value['type']!r:.20} message: {name} must be {expected}",
        Column.REFUSED_PROTOCOL,
    )


@dataclass(frozen=True, slots=True)
class PublisherHello:
    """What a remote publisher says of its stream."""

    codec: str
    width: int
    height: int
    fps: float
    init: bytes


def publisher_hello(value: dict[str, Any]) -> PublisherHello:
    """Check a publisher's hello.

    Raises:
        PeerError: when a field is missing or out of range.
    """
    codec = value.get("codec")
    if not isinstance(codec, str) or not 0 < len(codec) <= _CODEC_LIMIT or not codec.isprintable():
        raise _wrong(value, "codec", "a codec string such as 'avc1.64001f' or 'mjpeg'")
    for name in ("width", "height"):
        if not 0 <= integer(value, name) <= _DIMENSION_LIMIT:
            raise _wrong(value, name, f"0 to {_DIMENSION_LIMIT} pixels")
    fps = value.get("fps") or 0
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 <= fps <= _FPS_LIMIT:
        raise _wrong(value, "fps", f"0 to {_FPS_LIMIT:g}")
    init = value.get("init") or b""
    if not isinstance(init, bytes) or len(init) > _INIT_LIMIT:
        raise _wrong(value, "init", f"at most {_INIT_LIMIT} bytes of msgpack bin")
    return PublisherHello(
        codec, integer(value, "width"), integer(value, "height"), float(fps), init
    )
