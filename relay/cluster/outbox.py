"""What waits to be sent of one stream: little, and the newest.

Pure. A viewer's rule at the sender's edge: when the oldest frame that waits is too old, or too
much waits, everything before the newest key frame is dropped; without one everything is, and
frames are refused until a key frame comes. So memory and delay are bounded however slow the
link is, and whoever receives never gets a frame whose predecessors were dropped unseen.

Frames that were sent since the last key frame are kept, for nodes that join; see `group`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from relay.cluster.pieces import NumberedFrame

__all__ = ["Notice", "Outbox"]

WAITING_BYTES: Final = 8 * 1024 * 1024
GROUP_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that keeps its place among the frames and is never dropped."""

    subject: str
    data: bytes


class Outbox:
    """See the module.

    Attributes:
        max_age: seconds that a frame may wait.
        dropped: frames dropped or refused, in total.
        needs_key: whether frames are refused until a key frame comes.
    """

    __slots__ = ("_bytes", "_group", "_group_bytes", "_waiting", "dropped", "max_age", "needs_key")

    def __init__(self, max_age: float) -> None:
        self.max_age = max_age
        self.dropped = 0
        self.needs_key = True
        self._waiting: deque[tuple[float, NumberedFrame | Notice]] = deque()
        self._bytes = 0
        self._group: list[NumberedFrame] = []
        self._group_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def notice(self, notice: Notice, now: float) -> None:
        """Let a message wait behind the frames that wait."""
        self._waiting.append((now, notice))

    def push(self, frame: NumberedFrame, now: float) -> None:
        """Let a frame wait, and drop what waits for too long.

        Args:
            now: monotonic seconds.
        """
        if self.needs_key and not frame.key:
            self.dropped += 1
            return
        self.needs_key = False
        self._waiting.append((now, frame))
        self._bytes += len(frame.envelope)
        self.expire(now)

    def expire(self, now: float) -> None:
        """Drop what is of no use any more."""
        oldest = next((at for at, each in self._waiting if isinstance(each, NumberedFrame)), now)
        if now - oldest <= self.max_age and self._bytes <= WAITING_BYTES:
            return
        frames = [each for _, each in self._waiting if isinstance(each, NumberedFrame)]
        keys = [each.number for each in frames if each.key]
        fresh = keys[-1] if keys and frames[0].number != keys[-1] else None
        if fresh is None and frames[0].key and len(frames) == 1:
            # The newest key frame itself, however large.
            return
        kept: deque[tuple[float, NumberedFrame | Notice]] = deque()
        for at, each in self._waiting:
            if isinstance(each, NumberedFrame) and (fresh is None or each.number < fresh):
                self.dropped += 1
                self._bytes -= len(each.envelope)
            else:
                kept.append((at, each))
        self._waiting = kept
        self.needs_key = fresh is None

    def restart(self) -> None:
        """Frames of another run follow: they begin with a key frame."""
        self.needs_key = True
        self.forget_group()

    def pop(self) -> NumberedFrame | Notice | None:
        """The next to be sent."""
        if not self._waiting:
            return None
        _, each = self._waiting.popleft()
        if isinstance(each, NumberedFrame):
            self._bytes -= len(each.envelope)
            self._remember(each)
        return each

    @property
    def group(self) -> list[NumberedFrame]:
        """What was sent since the newest key frame; empty when that is too much to keep."""
        return list(self._group)

    def forget_group(self) -> None:
        """Nobody can begin with what was sent so far."""
        self._group = []
        self._group_bytes = 0

    def _remember(self, frame: NumberedFrame) -> None:
        if frame.key:
            self.forget_group()
        elif not self._group or self._group[-1].number != frame.number - 1:
            self.forget_group()
            return
        self._group.append(frame)
        self._group_bytes += len(frame.envelope)
        if self._group_bytes > GROUP_BYTES:
            self.forget_group()
