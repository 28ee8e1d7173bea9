"""One viewer's place in a stream: what it is sent next, and what it skips. Pure.

Rules:

1. A viewer is a position in its stream's window and at most one send in flight. It has no
   queue.
2. It never gets a delta frame whose predecessors it missed: after any gap the next frame it
   is sent is a key frame.
3. It holds the live edge: when the next frame has waited for longer than the allowed lag,
   the viewer goes to the newest key frame. While there is none newer than what it was sent,
   it goes on in order (a late picture moves, a skipped one would freeze) and is `late`.
4. Every frame it was not sent is counted, with the cause.

States::

    WAITING  no publisher, or no key frame yet to start with
    LIVE     is sent frames
    HIDDEN   asked to be sent nothing (its tab is hidden)

``hello``, ``pause``, ``resume`` and ``need_key`` move it; `next_index` moves its position.
Time and window are parameters; no socket and no clock is known here.
"""

from __future__ import annotations

from collections import defaultdict
from enum import Enum

from workers.window import FrameWindow

__all__ = ["SkipCause", "ViewerPosition", "ViewerState"]


class ViewerState(Enum):
    """See the module."""

    WAITING = "waiting"
    LIVE = "live"
    HIDDEN = "hidden"


class SkipCause(Enum):
    """Why a viewer was not sent a frame."""

    NETWORK = "network"
    """It took too long to receive what it was sent before."""
    DECODER = "decoder"
    """It asked for a key frame and was spared what it could not decode."""
    HIDDEN = "hidden"
    """Its tab was hidden."""
    WORKER = "worker"
    """This worker was too slow and lost frames from the ring."""


class ViewerPosition:
    """A viewer's state, position and skips. See the module for its rules.

    Attributes:
        state: where it is.
        position: index of the frame it is sent next.
        late: whether it is behind by more than the allowed lag, with no key frame to go to.
        since: when it started, in monotonic seconds. A frame's age counts from here at the
            earliest: who joins at a key frame of some seconds ago is not late, unless it takes
            long over catching up.
        skipped: frames not sent, by cause, since the last `take_skipped`.
    """

    __slots__ = ("_cause", "_first", "_wait_from", "late", "position", "since", "skipped", "state")

    def __init__(self, now: float) -> None:
        self.state = ViewerState.WAITING
        self.position = 0
        self.late = False
        self.skipped: defaultdict[SkipCause, int] = defaultdict(int)
        self.since = now
        # First index that may be the key frame to start with; and for what it waits.
        self._wait_from = 0
        # First index that it may be sent at all.
        self._first = 0
        self._cause: SkipCause | None = None

    @property
    def needs_key(self) -> bool:
        """Whether it waits for a key frame."""
        return self.state is ViewerState.WAITING

    def at_edge(self, window: FrameWindow) -> bool:
        """Whether the next frame of the stream is the next it is sent."""
        return self.state is ViewerState.LIVE and self.position == window.edge

    def behind(self, window: FrameWindow) -> bool:
        """Whether frames that are held are still due to it."""
        if self.state is ViewerState.WAITING:
            return window.latest_key is not None and window.latest_key >= self._wait_from
        return self.state is ViewerState.LIVE and self.position < window.edge

    def lag(self, window: FrameWindow, now: float) -> float:
        """Seconds that the frame it is due next has waited for it."""
        if self.state is not ViewerState.LIVE or self.position >= window.edge:
            return 0.0
        oldest = max(self.position, window.base)
        return max(0.0, now - max(window[oldest].arrived, self.since))

    def join(self, window: FrameWindow, now: float, *, first: int = 0) -> None:
        """Start, or start again after all frames became void, with the newest key frame.

        Args:
            window: the stream's frames.
            now: monotonic seconds.
            first: index of the first frame that may be sent, among those that are held.
        """
        cause = SkipCause.NETWORK if self.state is ViewerState.LIVE else self._cause
        if cause is not None:
            self._skip(cause, window.edge - self.position)
        self._first = max(window.base, first)
        self._wait(self._first, now, None)
        self.position = window.edge

    def _wait(self, first: int, now: float, cause: SkipCause | None) -> None:
        """Send nothing before a key frame of index ``first`` or later."""
        self.state = ViewerState.WAITING
        self.late = False
        self._cause = cause
        self._wait_from = first
        self.since = now

    def need_key(self, window: FrameWindow, cause: SkipCause) -> None:
        """Send nothing before a key frame that is newer than all it was sent."""
        if self.state is ViewerState.LIVE:
            self._wait(max(self.position, window.base), self.since, cause)

    def pause(self) -> None:
        """Send nothing until `resume`."""
        self.state = ViewerState.HIDDEN
        self.late = False

    def resume(self, window: FrameWindow, now: float, *, first: int = 0) -> None:
        """Start again after `pause`, with the newest key frame, be it an old one.

        Args:
            window: the stream's frames.
            now: monotonic seconds.
            first: index of the first frame that may be sent, among those that are held.
        """
        if self.state is ViewerState.HIDDEN:
            self._first = max(self._first, window.base, first)
            self._wait(self._first, now, SkipCause.HIDDEN)

    def next_index(self, window: FrameWindow, now: float, max_lag: float) -> int | None:
        """Index of the frame to send now, or None when there is none to send.

        The caller sends that frame and calls `sent`.
        """
        if self.state is ViewerState.LIVE:
            self._hold_the_edge(window, now, max_lag)
        if not self.behind(window):
            return None
        if self.state is ViewerState.WAITING:
            self._start(window, now)
        return self.position

    def sent(self, index: int) -> None:
        """Frame ``index`` is on its way."""
        self.position = index + 1

    def _hold_the_edge(self, window: FrameWindow, now: float, max_lag: float) -> None:
        if self.position >= window.edge:
            self.late = False
        elif self.position < window.base:
            self.need_key(window, SkipCause.NETWORK)
        else:
            waiting_since = max(window[self.position].arrived, self.since)
            self.late = now - waiting_since > max_lag
            key = window.latest_key
            if self.late and key is not None and key > self.position:
                self.need_key(window, SkipCause.NETWORK)

    def _start(self, window: FrameWindow, now: float) -> None:
        key = window.latest_key
        assert key is not None
        if self._cause is not None:
            self._skip(self._cause, key - self.position)
            self._cause = None
        self.position = key
        self.since = now
        self.state = ViewerState.LIVE

    def _skip(self, cause: SkipCause, count: int) -> None:
        if count > 0:
            self.skipped[cause] += count

    def take_skipped(self) -> dict[SkipCause, int]:
        """Skips since the last call."""
        taken = dict(self.skipped)
        self.skipped.clear()
        return taken
