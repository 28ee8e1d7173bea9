"""The recent frames of one stream in this worker, shared by all its viewers.

A frame is read from the ring and wrapped in its WebSocket header for all of them together;
viewers are positions in this window. Its bytes are bounded: what falls out is gone, and a
viewer that still wanted it skips. A frame that is being sent stays alive through the sends that
refer to it, not through the window.

While nobody is behind, the window keeps only where its frames lie in the ring: a copy of them
would take the memory of a whole group of pictures for each stream in each worker. Who starts
with an earlier frame has them read again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
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
            and the frame as its publisher packed it. Empty while it is only in the ring.
        size: bytes of the message.
        key: whether a decoder can start here.
        arrived: monotonic time in seconds at which this worker read it.
        position: where it lies in the ring.
    """

    __slots__ = ("_raw", "arrived", "key", "message", "position", "size")

    def __init__(self, message: bytes, key: bool, arrived: float, position: int) -> None:
        self.message = message
        self.size = len(message)
        self.key = key
        self.arrived = arrived
        self.position = position
        self._raw: bytes | None = None

    def forget(self) -> None:
        """Keep its place only."""
        self.message = b""
        self._raw = None

    @property
    def raw(self) -> bytes:
        """The whole WebSocket message with the bare payload, made when first wanted."""
        if self._raw is None:
            payload = payload_of(self.message[header_size(self.message) :])
            self._raw = header(len(payload)) + payload
        return self._raw


_NO_RUN: Final[tuple[int, int, bool, bytes, int]] = (-1, -1, False, b"", -1)
# Within the window `bytes` is its size.
_Read = Callable[[int], bytes | None]


class FrameWindow:
    """Frames by index; indices only grow.

    Attributes:
        base: index of the oldest frame held.
        edge: index that the next frame will get.
        latest_key: index of the newest key frame held; None when there is none.
        here: index of the oldest frame whose message is here and not only in the ring.
    """

    __slots__ = (
        "_bytes",
        "_frames",
        "_limit",
        "_max_lag",
        "_run",
        "base",
        "edge",
        "here",
        "latest_key",
    )

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
        self._run = _NO_RUN
        self.base = self.edge = self.here = 0
        self.latest_key: int | None = None

    def __getitem__(self, index: int) -> WindowFrame:
        return self._frames[index - self.base]

    def __len__(self) -> int:
        return len(self._frames)

    def run(self, start: int, *, raw: bool, alone: bool = False) -> tuple[bytes, int]:
        """What to send to a viewer whose next frame is ``start``: more frames with it, if small.

        All who catch up at the same time are sent the same bytes object.

        Args:
            start: index of a frame whose message is here.
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
        """Bytes of all messages, be they here or in the ring."""
        return self._bytes

    def append(self, frame: WindowFrame) -> None:
        """Add the newest frame and drop what nobody should still be sent."""
        self._frames.append(frame)
        self._bytes += frame.size
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
        self._bytes -= self._frames.popleft().size
        if self.latest_key == self.base:
            self.latest_key = None
        self.base += 1
        self.here = max(self.here, self.base)

    def release(self) -> None:
        """Keep only the places of all frames: everybody has been sent them."""
        for index in range(self.here, self.edge):
            self[index].forget()
        self.here = self.edge
        self._run = _NO_RUN

    def restore(self, read: _Read) -> None:
        """Have the frames from the newest key frame on here again, or drop what is lost of them.

        Args:
            read: gives the message at a place in the ring; None when it has been overwritten.
        """
        if self.latest_key is None:
            return
        for index in range(self.latest_key, self.here):
            message = read(self[index].position)
            if message is None:
                self.drop_released()
                return
            self[index].message = message
        self.here = min(self.here, self.latest_key)

    def drop_released(self) -> None:
        """Drop all frames that are only in the ring, which is or may be theirs no more."""
        while self.base < self.here:
            self._drop()

    def clear(self) -> None:
        """Forget all frames: nothing before this point may be sent any more."""
        self._frames.clear()
        self._run = _NO_RUN
        self._bytes = 0
        self.base = self.here = self.edge
        self.latest_key = None
