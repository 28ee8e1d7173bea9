"""What a user may choose, as one frozen value, and the parsers of its units. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "CODECS",
    "PublishOptions",
    "parse_bitrate",
    "parse_fps",
    "parse_ring",
    "parse_seconds",
    "parse_size",
    "read_token",
]

CODECS = ("auto", "h264", "vp8", "vp9", "mjpeg")
_MAX_SIDE = 16_384
_MIN_SIDE = 64
_MAX_FPS = 240.0
_MULTIPLES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_MIN_RING, _MAX_RING = 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """One run of the publisher.

    Attributes:
        source: ``demo``, ``screen``, ``camera``, a file or a URL.
        stream: name under which viewers find it.
        to: WebSocket URL of a relay; None publishes through shared memory on this host.
        instance: which relay of this host; None means ``$RELAY_INSTANCE`` or ``default``.
        token: sent to a remote relay.
        takeover: take the stream from whoever publishes it.
        loop: begin a file again when it ends.
        fps: frames per second, None for the source's own.
        size: width and height, None for the source's own.
        codec: one of `CODECS`.
        bitrate: bits per second, None to let the encoder's quality decide.
        gop_s: longest time between key frames when encoding, None for the default.
        encode: encode even what could be passed through.
        ring: bytes of shared memory for the stream, a power of two, None for the default.
        frames: stop after this many frames.
        duration_s: stop after this much video.
        exit_with_parent: stop when the parent process dies.
        quiet: print errors only.
    """

    source: str
    stream: str
    to: str | None = None
    instance: str | None = None
    token: str | None = field(default=None, repr=False)
    takeover: bool = False
    loop: bool = False
    fps: float | None = None
    size: tuple[int, int] | None = None
    codec: str = "auto"
    bitrate: int | None = None
    gop_s: float | None = None
    encode: bool = False
    ring: int | None = None
    frames: int | None = None
    duration_s: float | None = None
    exit_with_parent: bool = False
    quiet: bool = False


def parse_size(text: str) -> tuple[int, int]:
    """``1280x720`` as width and height, made even because video is coded in pairs of pixels.

    Raises:
        ValueError: when it is no such size.
    """
    match = re.fullmatch(r"(\d{1,5})[xX\u00d7](\d{1,5})", text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size; write WIDTHxHEIGHT, such as 1280x720")
    width, height = (int(side) // 2 * 2 for side in match.groups())
    if not (_MIN_SIDE <= width <= _MAX_SIDE and _MIN_SIDE <= height <= _MAX_SIDE):
        raise ValueError(f"{text!r} is out of range; sides go from {_MIN_SIDE} to {_MAX_SIDE}")
    return width, height


def parse_bitrate(text: str) -> int:
    """``4M``, ``800k`` or plain bits as bits per second.

    Raises:
        ValueError: when it is no bitrate.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG]?)", text.strip())
    bits = int(float(match[1]) * _MULTIPLES[match[2].lower()]) if match else 0
    if not 10_000 <= bits <= 1_000_000_000:
        raise ValueError(f"{text!r} is not a bitrate; write bits per second such as 4M or 800k")
    return bits


def parse_ring(text: str) -> int:
    """``64M`` (binary megabytes) as bytes, rounded up to a power of two.

    Raises:
        ValueError: when it is no size between 1M and 1G.
    """
    match = re.fullmatch(r"(\d{1,4})([mMgG])", text.strip())
    size = int(match[1]) << (20 if match[2] in "mM" else 30) if match else 0
    if not _MIN_RING <= size <= _MAX_RING:
        raise ValueError(f"{text!r} is not a ring size; write 1M to 1G, such as 64M")
    return 1 << (size - 1).bit_length()


def parse_fps(text: str) -> float:
    """Frames per second.

    Raises:
        ValueError: when it is no number between 0 and 240.
    """
    fps = _number(text)
    if not 0 < fps <= _MAX_FPS:
        raise ValueError(f"{text!r} is not a frame rate; write 1 to {_MAX_FPS:.0f}")
    return fps


def parse_seconds(text: str) -> float:
    """A positive number of seconds.

    Raises:
        ValueError: otherwise.
    """
    seconds = _number(text)
    if not 0 < seconds < 1e9:
        raise ValueError(f"{text!r} is not a positive number of seconds")
    return seconds


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def read_token(token: str | None, file: str | None, environment: str | None) -> str | None:
    """The token to use: the option, else the file's first line, else ``$RELAY_TOKEN``.

    Raises:
        ValueError: when the file cannot be read, or the token is not one printable word.
    """
    if token is None and file is not None:
        try:
            token = next(iter(Path(file).read_text(encoding="utf-8").splitlines()), "").strip()
        except (OSError, UnicodeDecodeError) as exc:
            reason = getattr(exc, "strerror", None) or "not a text file"
            raise ValueError(f"cannot read the token file {file!r}: {reason}") from None
        if not token:
            raise ValueError(f"the token file {file!r} is empty")
    if token is None:
        token = environment or None
    # The value travels in an HTTP header; never repeat it in an error.
    if token is not None and re.fullmatch(r"[\x21-\x7e]+", token) is None:
        raise ValueError("the token must be one word of printable ASCII characters")
    return token
