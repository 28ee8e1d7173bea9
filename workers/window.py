"""The recent frames of one stream in this worker, shared by all its viewers.

A frame is read from the ring once and wrapped in its WebSocket header once; viewers are
positions in this window. Its bytes are bounded: what falls out is gone, and a viewer that
still wanted it skips. A frame that is being sent stays alive through the sends that refer
to it, not through the window.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final

from bus.frame import payload_of
from workers.messages import header, header_size

__all__ = ["TOGETHER", "FrameWindow", "WindowFrame"]

TOGETHER: Final = 32 * 1024
"""Bytes of several messages that are sent as one: copying them costs less than a second call."""


class WindowFrame:
    """One frame, ready to send.

    Attributes:
        message: the whole WebSocket message for a player: a header (`workers.messages.header`),
            and the frame as its publisher packed it.
        key: whether a decoder can start here.
        arrived: monotonic time in seconds at which this worker read it.
    """

    __slots__ = ("_raw", "arrived", "key", "message")

    def __init__(self, message: bytes, key: bool, arrived: float) -> None:
        self.message = message
        self.key = key
        self.arrived = arrived
        self._raw: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes of the message."""
        return len(self.message)

    @property
    def raw(self) -> bytes:
        """The whole WebSocket message with the bare payload, made when first wanted."""
        if self._raw is None:
            payload = payload_of(self.message[header_size(self.message) :])
            self._raw = header(len(payload)) + payload
        return self._raw


class FrameWindow:
    """Frames by index; indices only grow.

    Attributes:
        base: index of the oldest frame held.
        edge: index that the next frame will get.
        latest_key: index of the newest key frame held; None when there is none.
    """

    __slots__ = ("_bytes", "_frames", "_limit", "_max_lag", "_run", "base", "edge", "latest_key")

    def __init__(self, limit: int, max_lag: float) -> None:
        """An empty window.

        Args:
            limit: bytes to hold at most, besides the newest frame.
            max_lag: seconds for which frames older than the newest key frame are kept.
        """
        self._frames: deque[WindowFrame] = deque()
        self._bytes = 0
        self._limit = limit
        self._max_lag = max_lag
        # The last run of several frames: its first, the edge then, raw or not, bytes, its end.
        self._run: tuple[int, int, bool, bytes, int] = (-1, -1, False, b"", -1)
        self.base = self.edge = 0
        self.latest_key: int | None = None

    def __getitem__(self, index: int) -> WindowFrame:
        return self._frames[index - self.base]

    def __len__(self) -> int:
        return len(self._frames)

    def run(self, start: int, *, raw: bool, alone: bool = False) -> tuple[bytes, int]:
        """What to send to a viewer whose next frame is ``start``: more frames with it, if small.

        All who catch up at the same time are sent the same bytes object.

        Args:
            start: index of a frame that is held.
            raw: bare payloads.
            alone: that frame only.

        Returns:
            Whole WebSocket messages, and the index after the last of them.
        """
        if alone or start + 1 == self.edge:
            frame = self[start]
            return frame.raw if raw else frame.message, start + 1
        if self._run[:3] != (start, self.edge, raw):
            self._run = (start, self.edge, raw, *self._join(start, raw))
        return self._run[3:]

    def _join(self, start: int, raw: bool) -> tuple[bytes, int]:
        found: list[bytes] = []
        size = 0
        for frame in islice(self._frames, start - self.base, None):
            message = frame.raw if raw else frame.message
            size += len(message)
            if found and size > TOGETHER:
                break
            found.append(message)
        return b"".join(found) if len(found) > 1 else found[0], start + len(found)

    @property
    def bytes(self) -> int:
        """Bytes of messages held."""
        return self._bytes

    def append(self, frame: WindowFrame) -> None:
        """Add the newest frame and drop what nobody should still be sent."""
        self._frames.append(frame)
        self._bytes += len(frame.message)
        if frame.key:
            self.latest_key = self.edge
        self.edge += 1
        expired = frame.arrived - self._max_lag
        while len(self._frames) > 1:
            oldest = self._frames[0]
            superseded = self.latest_key is not None and self.base < self.latest_key
            if self._bytes <= self._limit and not (superseded and oldest.arrived < expired):
                break
            self._drop()

    def _drop(self) -> None:
        self._bytes -= len(self._frames.popleft().message)
        if self.latest_key == self.base:
            self.latest_key = None
        self.base += 1

    def clear(self) -> None:
        """Forget all frames: nothing before this point may be sent any more."""
        self._frames.clear()
        self._run = (-1, -1, False, b"", -1)
        self._bytes = 0
        self.base = self.edge
        self.latest_key = None
