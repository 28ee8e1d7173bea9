"""What one viewer sees, and the rules that it checks. Pure: time is a parameter.

1. A ``hello`` comes before the first frame, and the first frame after it is a key frame.
2. Seqs rise; a frame after a gap is a key frame.
3. Its bytes are those that the other viewers got, and its seal holds, if it has one.
4. A hidden tab gets nothing.

An outage is the time between two pictures, when the first was the last before the connection
or the publisher was lost, or when there are more than `FREEZE_US` between them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from relay.load.counts import Counts, Outage
from relay.load.known import KnownFrame

__all__ = ["FREEZE_US", "Clocks", "Watching"]

FREEZE_US: Final = 1_000_000
_HIDING_US: Final = 2_000_000
"""What was on its way to a tab when it was hidden has arrived by then."""
_KEY: Final = 1
_UNKNOWN: Final = 1 << 62


class Clocks(Enum):
    """Who tells time by the viewers' clock, because it is on their host."""

    OTHERS = "neither"
    RELAY = "relay"
    PUBLISHER = "publisher"


class Watching:
    """One viewer's view of its stream, over all of its connections.

    Args:
        number: of the viewer.
        counts: where it counts.
        outage: takes each outage when it is over.
        clocks: which others' clocks are this viewer's own; the others are estimated.

    Attributes:
        heard_us: when anything came last.
        received: frames.
    """

    def __init__(
        self,
        number: int,
        counts: Counts,
        outage: Callable[[Outage], None],
        clocks: Clocks = Clocks.OTHERS,
    ) -> None:
        self._number = number
        self._counts = counts
        self._outage = outage
        self._clocks = clocks
        self.heard_us = 0
        self.received = 0
        self._asked_us = 0
        self._last_us = 0
        self._cause = ""
        self._worker = self._worker_before = -1
        self._live = self._frozen = False
        self._hidden_us = 0
        self._awaiting_key = True
        self._seq = -1
        self._publisher_us = 0
        self._joined_us = 0
        self._clock_us = 0
        self._round_trip = _UNKNOWN

    # Its connection.

    def asks(self, now_us: int) -> None:
        """It connects."""
        self._asked_us = self._asked_us or now_us

    def loses(self) -> None:
        """Its connection broke, or was closed by the relay; the next one begins in sight."""
        self._interrupted("lost")
        self._hidden_us = 0
        self._round_trip = _UNKNOWN

    def leaves(self) -> None:
        """It goes by itself: there is nothing to miss."""
        self._thaw()
        self._live = False
        self._last_us = self._asked_us = self._hidden_us = 0
        self._cause = ""
        self._round_trip = _UNKNOWN

    def _interrupted(self, cause: str) -> None:
        self._thaw()
        self._live = False
        if self._last_us and not self._cause:
            self._cause = cause
            self._worker_before = self._worker

    # What comes.

    def hello(self, value: dict[str, Any], now_us: int) -> None:
        """The stream is there, from a key frame on."""
        self._live = self._awaiting_key = True
        self._seq = -1
        self._worker = value.get("worker", -1)
        if self._clocks is Clocks.PUBLISHER:
            self._joined_us, self._round_trip = now_us, 0
            return
        self._publisher_us = value.get("offset_us") or 0
        self._joined_us = value.get("server_us") or 0

    def ended(self) -> None:
        """The stream has no publisher."""
        self._interrupted("ended")

    def pong(self, value: dict[str, Any], now_us: int) -> None:
        """The relay's clock; of all answers the quickest is the most precise."""
        if self._clocks is Clocks.PUBLISHER:
            return
        asked_us = value["t0"]
        if now_us - asked_us <= self._round_trip:
            self._round_trip = now_us - asked_us
            if self._clocks is Clocks.OTHERS:
                self._clock_us = value["t1"] - (asked_us + now_us) // 2
        self._publisher_us = value.get("offset_us", self._publisher_us)

    def frame(self, known: KnownFrame, good: bool, now_us: int) -> None:
        """A frame is complete."""
        counts = self._counts
        counts.frames += 1
        self.received += 1
        seq, flags = known.seq, known.flags
        if seq != self._seq + 1 or self._awaiting_key or not self._live:
            self._out_of_line(seq, flags)
        self._seq = seq
        sealed, flaw = known.verdict()
        counts.checked += sealed
        if flaw or not good:
            counts.trouble("invalid", flaw or "bytes that other viewers got otherwise")
        if self._cause or now_us - self._last_us > FREEZE_US:
            self._pictures_again(now_us)
        self._last_us = now_us
        if self._hidden_us and now_us - self._hidden_us > _HIDING_US:
            counts.trouble("invalid", "a frame for a hidden tab")
        captured_us = known.capture_us - self._publisher_us
        # Who joins gets a group of pictures from its beginning: their age says nothing.
        if self._round_trip < _UNKNOWN and captured_us >= self._joined_us:
            counts.latency_us.add(now_us + self._clock_us - captured_us)

    def _out_of_line(self, seq: int, flags: int) -> None:
        """The first frame, or one after a gap."""
        gap = self._seq >= 0 and seq != self._seq + 1
        if gap and seq > self._seq:
            self._counts.skipped += seq - self._seq - 1
        if not flags & _KEY and (gap or self._awaiting_key):
            self._counts.trouble("invalid", "a delta frame where a key frame was due")
        elif gap and seq <= self._seq:
            self._counts.trouble("invalid", "a frame that is older than the one before it")
        elif not self._live:
            self._counts.trouble("invalid", "a frame without a hello")
        self._awaiting_key = False

    def _pictures_again(self, now_us: int) -> None:
        if not self._last_us:
            if self._asked_us:
                self._counts.join_us.add(now_us - self._asked_us)
        elif not self._hidden_us:
            # Shorter than from one look to the next.
            self._counts.freeze += not (self._cause or self._frozen)
            self._report(now_us, over=True)
        self._cause = ""
        self._thaw()

    def _report(self, now_us: int, *, over: bool) -> None:
        seconds = (now_us - self._last_us) / 1e6
        worker = self._worker_before if self._cause else self._worker
        cause = self._cause or "frozen"
        self._outage(Outage(self._number, self._last_us, seconds, cause, worker, over))

    # Time.

    @property
    def hidden(self) -> bool:
        """Whether its tab is hidden."""
        return self._hidden_us > 0

    def look(self, now_us: int) -> None:
        """Once a second: is the picture frozen?"""
        started = self._live and self._last_us and not self._hidden_us
        if started and not self._frozen and now_us - self._last_us > FREEZE_US:
            self._frozen = True
            self._counts.frozen += 1
            self._counts.freeze += 1

    def _thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            self._counts.frozen -= 1

    def hide(self, now_us: int) -> None:
        """The tab is hidden."""
        self._hidden_us = now_us

    def show(self, now_us: int) -> None:
        """The tab is seen again, from a key frame on; what it missed was no outage."""
        self._hidden_us = 0
        self._awaiting_key = True
        self._seq = -1
        self._last_us = self._last_us and now_us

    def end(self, now_us: int) -> None:
        """The test is over."""
        missing = self._cause or now_us - self._last_us > FREEZE_US
        if self._last_us and missing and not self._hidden_us:
            self._report(now_us, over=False)
