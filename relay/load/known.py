"""The frames that the viewers of one stream and process have seen. Pure.

All viewers of a stream are sent the same bytes, so a frame's header is taken apart once, for
the first viewer that gets it, and found again by its first bytes for all others. Its payload
is kept, too: the bytes of every viewer are compared with it, and the checksum of a sealed
payload is computed once. So every byte that every viewer got is checked, at the price of one
``memcmp``.

Invariant: what a viewer got of a frame has been compared with `KnownFrame.message`, or was the
first of its kind and is in there.
"""

from __future__ import annotations

from typing import Final

from relay.load.seal import flaw, sealed

__all__ = ["HEAD", "KnownFrame", "KnownFrames"]

HEAD: Final = 64
"""Bytes that hold both headers of a frame: 10 of WebSocket, 1 + 4 * 9 + 5 of msgpack."""
_LIMIT: Final = 16 << 20


class KnownFrame:
    """One frame.

    Attributes:
        seq, capture_us, flags: as its publisher wrote them.
        total: bytes of the WebSocket message, header included.
        message: as much of them as any viewer got.
    """

    __slots__ = ("_payload_at", "_verdict", "capture_us", "flags", "message", "seq", "total")

    def __init__(self, seq: int, capture_us: int, flags: int, total: int, payload_at: int) -> None:
        """A frame that nobody has got yet.

        Args:
            payload_at: where in the message the payload begins.
        """
        self.seq = seq
        self.capture_us = capture_us
        self.flags = flags
        self.total = total
        self.message = bytearray()
        self._payload_at = payload_at
        self._verdict: tuple[bool, str] | None = None

    def agrees(self, offset: int, data: memoryview) -> bool:
        """Whether a viewer's bytes at ``offset`` of the message are those that others got."""
        known = len(self.message)
        if offset + len(data) <= known:
            return self.message.startswith(data, offset)
        same = self.message.startswith(data[: known - offset], offset)
        self.message += data[known - offset :]
        return same

    def verdict(self) -> tuple[bool, str]:
        """Of a complete frame: whether it carries a seal, and what is wrong with it."""
        if self._verdict is None:
            payload = memoryview(self.message)[self._payload_at :]
            if sealed(payload):
                self._verdict = True, flaw(payload, self.capture_us)
            else:
                self._verdict = False, ""
        return self._verdict


class KnownFrames:
    """The frames of one stream by their first bytes; the oldest are forgotten."""

    def __init__(self, limit: int = _LIMIT) -> None:
        """None yet.

        Args:
            limit: bytes of frames that are kept.
        """
        self._frames: dict[bytes, KnownFrame] = {}
        self._limit = limit
        self._bytes = 0
        self.find = self._frames.get

    def add(self, head: bytes, frame: KnownFrame) -> None:
        """Keep a frame; ``head`` is its first `HEAD` bytes."""
        self._frames[head] = frame
        self._bytes += frame.total
        while self._bytes > self._limit and len(self._frames) > 1:
            oldest = next(iter(self._frames))
            self._bytes -= self._frames.pop(oldest).total
