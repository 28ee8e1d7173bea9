"""Frames between processes of one host, through shared memory.

`Publisher` writes a stream, `Subscriber` reads it; see their docstrings. Everything else
in this package is how they work: `layout` has the bytes, `ring` the algorithm.
"""

from bus.errors import (
    BusError,
    Exhausted,
    FrameInvalid,
    FrameTooLarge,
    InvalidName,
    NoSpace,
    SegmentInvalid,
    SegmentMissing,
    StreamBusy,
    TakenOver,
    TooManyReaders,
)
from bus.frame import Frame
from bus.publisher import Publisher
from bus.subscriber import Subscriber

__all__ = [
    "BusError",
    "Exhausted",
    "Frame",
    "FrameInvalid",
    "FrameTooLarge",
    "InvalidName",
    "NoSpace",
    "Publisher",
    "SegmentInvalid",
    "SegmentMissing",
    "StreamBusy",
    "Subscriber",
    "TakenOver",
    "TooManyReaders",
]
