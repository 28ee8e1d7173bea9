r"""``demo@30fps,16KiB*10``: which test streams to publish. Pure.

::

    streams = name ["@" part *("," part)] [("*" | "\u00d7") count]
    part    = number "fps" | number ("B" | "KiB" | "MiB")

One stream has the name itself, several have it with a number behind, from 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bus.errors import InvalidName
from bus.names import check_stream

__all__ = ["SyntheticStreams", "parse_streams"]

# A letter x stands for the sign, too, but only behind the parts: names end with it.
_FORM: Final = re.compile(
    "([^@\\s*\u00d7]+)(?:@([^\\s*\u00d7]+?)(?:x(\\d{1,4}))?)?(?:[*\u00d7](\\d{1,4}))?", re.ASCII
)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(fps|B|KiB|MiB)", re.ASCII)
_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
_MOST_STREAMS: Final = 200
_MOST_BYTES: Final = 4 << 20
_LEAST_BYTES: Final = 64
_MOST_FPS: Final = 240.0


@dataclass(frozen=True, slots=True)
class SyntheticStreams:
    """Streams that are published for a test.

    Attributes:
        name: what the user calls them.
        names: of the streams.
        fps: frames per second of each.
        size: bytes of each frame.
    """

    name: str
    names: tuple[str, ...]
    fps: float = 30.0
    size: int = 16 << 10

    def has(self, stream: str) -> bool:
        """Whether somebody who names this stream means these."""
        return stream == self.name or stream in self.names

    def __str__(self) -> str:
        first, last = self.names[0], self.names[-1]
        names = first if first == last else f"{first} to {last}"
        return f"{names}, {self.fps:g} frames/s of {self.size:,} bytes"


def parse_streams(text: str) -> SyntheticStreams:
    """Read the description of test streams.

    Raises:
        ValueError: when it is none.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} are no test streams; write them as demo@30fps,16KiB*10")
    name, parts, *counts = match.groups()
    times = counts[0] or counts[1]
    found: dict[str, float] = {}
    for part in parts.split(",") if parts else ():
        kind, value = _read(text, part)
        if kind in found:
            raise ValueError(f"{text!r} names its {kind} twice")
        found[kind] = value
    count = int(times) if times else 1
    if not 1 <= count <= _MOST_STREAMS:
        raise ValueError(f"{text!r}: there can be 1 to {_MOST_STREAMS} streams")
    names = [f"{name}{n}" for n in range(1, count + 1)] if times and count > 1 else [name]
    try:
        for each in names:
            check_stream(each)
    except InvalidName as exc:
        raise ValueError(str(exc)) from None
    return SyntheticStreams(
        name, tuple(names), found.get("rate", 30.0), int(found.get("size", 16 << 10))
    )


def _read(text: str, part: str) -> tuple[str, float]:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{text!r}: {part!r} is neither a rate such as 30fps nor a size as 16KiB")
    number, unit = float(match[1]), match[2]
    if unit == "fps":
        if not 0 < number <= _MOST_FPS:
            raise ValueError(f"{text!r}: the rate must be above 0 and at most {_MOST_FPS:g}fps")
        return "rate", number
    size = number * _UNITS[unit]
    if not _LEAST_BYTES <= size <= _MOST_BYTES:
        raise ValueError(f"{text!r}: a frame has {_LEAST_BYTES}B to {_MOST_BYTES >> 20}MiB")
    return "size", size
