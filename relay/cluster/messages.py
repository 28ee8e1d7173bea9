"""What bridges say to each other: msgpack, as everywhere else in the relay.

Pure. Maps have a ``type``; a piece of a frame is an array. Times are Unix microseconds.
Whatever another node sends is checked here, so that the rest may rely on it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import msgpack

from bus.layout import METADATA_BYTES
from relay.cluster.pieces import Piece

__all__ = ["Announcement", "End", "Hello", "MessageInvalid", "Node", "Want", "decode", "encode"]


class MessageInvalid(ValueError):
    """Bytes that no bridge of this version sends."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node lives.

    Attributes:
        boot: random number of the bridge process, to tell two nodes of one name apart.
        started: when it began.
    """

    boot: int
    started: int


@dataclass(frozen=True, slots=True)
class Announcement:
    """A node's claim to a stream, or the end of it.

    Attributes:
        live: False: the stream has ended here.
        term: number of takeovers behind this claim.
        since: when this node first announced it; says also which of its claims has ended.
        epoch: number of the publisher within its node.
        codec, width, height, fps: as in `bus.stream.Metadata`.
        bitrate: measured, bits per second.
    """

    live: bool
    term: int = 0
    since: int = 0
    epoch: int = 0
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    bitrate: int = 0


@dataclass(frozen=True, slots=True)
class Want:
    """What a node wants of a stream.

    Attributes:
        wanted: False: it has no viewer any more.
        join: it has nothing yet: begin with the newest key frame.
        key: it needs a key frame.
        sent: when this was sent, to be returned in the hello; 0: no need.
    """

    wanted: bool
    join: bool = False
    key: bool = False
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Hello:
    """What must be known before the frames of one run.

    Attributes:
        run: number of a publisher with its metadata; a later one's is larger.
        epoch, codec, width, height, fps, init: as in `bus.stream.Metadata`.
        offset: the publisher's clock minus the owner's.
        clock: the owner's clock.
        echo: the ``sent`` of the want that this answers; 0: it answers none.
    """

    run: int
    epoch: int
    codec: str
    width: int
    height: int
    fps: float
    init: bytes
    offset: int
    clock: int
    echo: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more of a run follows: its publisher has left.

    Attributes:
        run: as in `Hello`.
    """

    run: int


_TYPES: Final[dict[str, type[Any]]] = {
    "node": Node,
    "stream": Announcement,
    "want": Want,
    "hello": Hello,
    "end": End,
}
_NAMES: Final = {kind: name for name, kind in _TYPES.items()}

Message = Node | Announcement | Want | Hello | End | Piece


def encode(message: Message) -> bytes:
    """Pack a message."""
    if isinstance(message, Piece):
        packed: bytes = msgpack.packb(message.fields())
    else:
        packed = msgpack.packb({"type": _NAMES[type(message)], **asdict(message)})
    return packed


def decode(data: bytes) -> Message:
    """Unpack a message; fields that a later version added are ignored.

    Raises:
        MessageInvalid: for anything else.
    """
    try:
        value = msgpack.unpackb(data, max_map_len=64, max_array_len=64)
        if isinstance(value, list):
            return Piece(*_checked(Piece, value))
        kind = _TYPES[value["type"]]
        names = list(kind.__dataclass_fields__)
        known = {name: value[name] for name in names if name in value}
        _check(kind, known)
        message: Message = kind(**known)
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as exc:
        raise MessageInvalid(f"{type(exc).__name__}: {exc}") from None
    return message


_NUMBER_MAX: Final = 2**53
"""More than any time in microseconds; sums of some of them still fit into shared memory."""
_SIGNED: Final = "offset"
_SIMPLE: Final[dict[str, tuple[type, ...]]] = {
    "bool": (bool,),
    "int": (int,),
    "str": (str,),
    "bytes": (bytes,),
    "float": (int, float),
}


def _check(kind: type[Any], values: dict[str, Any]) -> None:
    for each in fields(kind):
        if each.name not in values:
            continue
        value = values[each.name]
        if type(value) not in _SIMPLE[str(each.type)]:
            raise MessageInvalid(f"{each.name} is of type {type(value).__name__}")
        if isinstance(value, int | float):
            least = -_NUMBER_MAX if each.name == _SIGNED else 0
            # Said so that what is no number at all is refused, too.
            if not least <= value <= _NUMBER_MAX:
                raise MessageInvalid(f"{each.name} is out of range")
        if each.name != "data" and isinstance(value, bytes | str) and len(value) > METADATA_BYTES:
            raise MessageInvalid(f"{each.name} is too long")


def _checked(kind: type[Any], values: list[Any]) -> list[Any]:
    names = [each.name for each in fields(kind)]
    if len(values) < len(names):
        raise MessageInvalid("a piece has too few fields")
    _check(kind, dict(zip(names, values, strict=False)))
    return values[: len(names)]
