"""Every error that the bus raises on purpose.

The tree::

    BusError
    ├── InvalidName       a stream or instance name outside the allowed alphabet
    ├── StreamBusy        another process publishes this stream
    ├── TakenOver         this publisher lost its stream to a `takeover`
    ├── FrameTooLarge     a frame that can never fit into its ring
    ├── FrameInvalid      bytes that are no frame envelope
    ├── NoSpace           shared memory is full
    ├── Exhausted         this process has no descriptor left
    ├── SegmentInvalid    a segment that is foreign, truncated or of another version
    ├── SegmentMissing    no such segment
    └── TooManyReaders    the reader table of a stream is full

``str(error)`` is one line that names the thing and the remedy. Loss of frames is a
number on the reader, never an exception.
"""

from __future__ import annotations

__all__ = [
    "BusError",
    "Exhausted",
    "FrameInvalid",
    "FrameTooLarge",
    "InvalidName",
    "NoSpace",
    "SegmentInvalid",
    "SegmentMissing",
    "StreamBusy",
    "TakenOver",
    "TooManyReaders",
]


class BusError(Exception):
    """Base class of all errors raised by the bus."""


class InvalidName(BusError, ValueError):
    """A stream or instance name outside ``[A-Za-z0-9][A-Za-z0-9._-]{0,63}``."""

    def __init__(self, what: str, name: object) -> None:
        super().__init__(what, name)
        self.what = what
        self.name = name

    def __str__(self) -> str:
        shown = repr(self.name)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        return (
            f"invalid {self.what} name {shown}: use 1 to 64 of the characters A-Z a-z 0-9 . _ -, "
            "beginning with a letter or a digit"
        )


class StreamBusy(BusError):
    """Somebody else who lives holds the stream's publisher lock."""

    def __init__(self, stream: str, pid: int, node: str = "") -> None:
        super().__init__(stream, pid, node)
        self.stream = stream
        self.pid = pid
        self.node = node

    @property
    def holder(self) -> str:
        """Who publishes it, in words: a process of this host or a node of the cluster."""
        return f"node {self.node!r}" if self.node else f"pid {self.pid}"

    def __str__(self) -> str:
        return (
            f"stream {self.stream!r} is being published by {self.holder}; "
            "stop it, choose another name, or publish with --takeover (takeover=True)"
        )


class TakenOver(BusError):
    """The stream now belongs to another publisher."""

    def __init__(self, stream: str, node: str = "") -> None:
        super().__init__(stream, node)
        self.stream = stream
        self.node = node

    def __str__(self) -> str:
        where = f", on node {self.node!r}" if self.node else ""
        return f"stream {self.stream!r} was taken over by another publisher{where}"


class FrameTooLarge(BusError, ValueError):
    """A frame larger than a quarter of its ring."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"a frame of {self.size} bytes does not fit this stream's limit of {self.limit} bytes; "
            "publish with a larger ring (capacity=)"
        )


class FrameInvalid(BusError, ValueError):
    """Bytes that are not a frame envelope ``[seq, pts_us, capture_us, flags, payload]``."""


class NoSpace(BusError, OSError):
    """The shared-memory file system cannot hold another segment."""

    def __init__(self, needed: int, free: int, where: str) -> None:
        super().__init__(needed, free, where)
        self.needed = needed
        self.free = free
        self.where = where

    def __str__(self) -> str:
        return (
            f"not enough space in {self.where}: {self.needed} bytes needed, {self.free} free; "
            "enlarge it, stop other publishers, or publish with a smaller ring (capacity=)"
        )


class Exhausted(BusError, OSError):
    """The process or the machine has no descriptor, or no memory, for another segment."""

    def __init__(self, name: str, error: OSError) -> None:
        super().__init__(error.errno, error.strerror, name)

    def __str__(self) -> str:
        return (
            f"cannot open shared-memory segment {self.filename!r}: {self.strerror}; "
            "raise this process's limits (ulimit -n)"
        )


class SegmentInvalid(BusError):
    """A segment that this version cannot read."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"shared-memory segment {self.name!r} cannot be used: {self.reason}; "
            "when no publisher of that version runs, remove it with: python -m bus.reclaim"
        )


class SegmentMissing(BusError, LookupError):
    """No segment has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"there is no shared-memory segment {self.name!r}: nobody publishes it"


class TooManyReaders(BusError):
    """Every slot in a segment's reader table belongs to a live process."""

    def __init__(self, name: str, slots: int) -> None:
        super().__init__(name, slots)
        self.name = name
        self.slots = slots

    def __str__(self) -> str:
        return f"segment {self.name!r} already has {self.slots} readers, which is its limit"
