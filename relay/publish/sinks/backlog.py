"""The frames between the pump and a socket: few, and always decodable from the first.

Rules:

1. While the way is closed, and until the first key frame after it opened, frames are dropped.
2. A backlog older or larger than its limits is cut back to its newest key frame; when it has
   none behind its head, it is emptied and rule 1 applies.
3. Whatever is dropped is counted.

So what comes out is a sequence of whole runs, each beginning with a key frame. Pure, and not
thread-safe: its owner holds a lock.
"""

from __future__ import annotations

from collections import deque

from relay.publish.model import MediaFrame

__all__ = ["MAX_BYTES", "MAX_LAG_US", "Backlog"]

MAX_LAG_US = 1_000_000
"""Older pictures are of no use to a live viewer; a lost packet's repair takes less."""
MAX_BYTES = 16 * 1024 * 1024


class Backlog:
    """A bounded queue of frames.

    Attributes:
        dropped: frames that were never handed out.
    """

    def __init__(self, max_lag_us: int = MAX_LAG_US, max_bytes: int = MAX_BYTES) -> None:
        self._max_lag_us = max_lag_us
        self._max_bytes = max_bytes
        self._queue: deque[MediaFrame] = deque()
        self._bytes = 0
        self._open = False
        self._needs_key = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def needs_key(self) -> bool:
        """Whether the way is open but nothing goes through before a key frame comes."""
        return self._open and self._needs_key

    def open(self) -> None:
        """The way is free; begin at the next key frame."""
        self._open = self._needs_key = True

    def close(self) -> None:
        """The way is blocked; forget what is queued."""
        self._open = False
        self._drop(len(self._queue))

    def push(self, frame: MediaFrame) -> bool:
        """Queue a frame.

        Returns:
            Whether there is something to take.
        """
        if not self._open or (self._needs_key and not frame.key):
            self.dropped += 1
        else:
            self._needs_key = False
            self._queue.append(frame)
            self._bytes += len(frame.payload)
            self._shed()
        return bool(self._queue)

    def pop(self) -> MediaFrame | None:
        """Take the oldest frame."""
        if not self._queue:
            return None
        frame = self._queue.popleft()
        self._bytes -= len(frame.payload)
        return frame

    def _shed(self) -> None:
        if len(self._queue) < 2:
            return  # one frame, however large, is the newest there is
        lag = self._queue[-1].capture_us - self._queue[0].capture_us
        if lag <= self._max_lag_us and self._bytes <= self._max_bytes:
            return
        for index in range(len(self._queue) - 1, 0, -1):
            if self._queue[index].key:
                self._drop(index)
                return
        self._drop(len(self._queue))
        self._needs_key = True

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= len(self._queue.popleft().payload)
        self.dropped += count
