"""A stream of another node, as this node's programs see it.

States, by what stands in shared memory::

    STANDBY ──a reader came──► JOINING ──hello──► FLOWING
       ▲                          │                  │
       └──── no reader for the grace period ◄────────┘

In STANDBY and JOINING a publisher on standby holds the name; in FLOWING a full one writes what
comes. Readers go from one to the other without noticing more than that a publisher came.

The stream comes over a lane of its own. What comes too slowly is left there and gone on with over
the next connection, so NATS drops what it holds; and whatever was believed of the stream gives
way when its frames do not fit it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from bus.doorbell import Doorbell
from bus.errors import BusError, TakenOver
from relay.cluster.counters import ClusterCounters, Counter
from relay.cluster.delay import Delay
from relay.cluster.directory import HEARTBEAT, Claim
from relay.cluster.lane import ReceivingLane
from relay.cluster.link import Link
from relay.cluster.messages import End, Hello, MessageInvalid, Want, decode, encode
from relay.cluster.order import FrameOrder
from relay.cluster.outgoing import unix_us
from relay.cluster.pieces import Joiner, NumberedFrame, Piece
from relay.cluster.remote_name import RemoteName
from relay.cluster.subjects import Subjects

__all__ = ["IncomingContext", "IncomingStream"]

log = logging.getLogger(__name__)

KEY_INTERVAL: Final = 0.5
"""Seconds between two requests for a key frame."""
MAX_LAG: Final = 0.5
"""Seconds of delay beyond the least after which what waits is dropped."""
MAX_KEY_LAG: Final = 2.0
"""The same while a key frame is on its way: without it, coming back was for nothing."""
END_PATIENCE: Final = 2.0
"""Seconds that a stream's last frames may be on their way when its end was announced."""
DOUBT: Final = 1.0
"""Seconds of frames that do not fit what is known of the stream, after which that is wrong."""


@dataclass(frozen=True, slots=True)
class IncomingContext:
    """What all remote streams of a node share.

    Attributes:
        instance: instance name.
        capacity: bytes of ring of a stream that flows, a power of two.
        grace: seconds that it goes on after its last reader left.
        bell: rung by readers.
        on_end: called with a stream's name when all of it has come.
    """

    instance: str
    capacity: int
    grace: float
    bell: Doorbell
    link: Link
    subjects: Subjects
    counters: ClusterCounters
    on_end: Callable[[str], None]


class IncomingStream:
    """See the module.

    Attributes:
        stream: stream name.
        token: doorbell token that stands for it.
        claim: its owner's claim.
        pulling: whether the stream comes, or was asked for.
    """

    def __init__(
        self, context: IncomingContext, stream: str, token: int, claim: Claim, *, takeover: bool
    ) -> None:
        """Hold the stream's name.

        Args:
            takeover: take it from a publisher of this node, whose claim has lost.

        Raises:
            BusError, OSError: when that is impossible now.
        """
        self.stream = stream
        self.token = token
        self.claim = claim
        self._context = context
        self._order = FrameOrder()
        self._joiners = (Joiner(context.capacity), Joiner(context.capacity))
        self._delay = Delay()
        self._lane: ReceivingLane | None = None
        # Whether the lane was left because of what waited for it, and not lost.
        self._left = False
        self._hello: Hello | None = None
        self._readers_seen = 0.0
        self.pulling = False
        self._said_at = 0.0
        self._asked_at = 0.0
        self._key_asked = 0.0
        # Since when no frame has fitted; None: the last one did.
        self._unfit_since: float | None = None
        self._end_announced: float | None = None
        self._end_heard = False
        self._clock_ahead = 0
        self._trouble = ""
        self._name = RemoteName(
            context.instance, context.bell, token, stream, claim, takeover=takeover
        )

    @property
    def taken_over(self) -> bool:
        """Whether a program of this node publishes the stream now."""
        return self._name.taken_over

    def update(self, claim: Claim) -> None:
        """The owner said something new of the stream.

        Raises:
            BusError, OSError: when it cannot be shown now.
        """
        before, news = self.claim.announcement, claim.announcement
        self.claim = claim
        self._end_announced = None
        shown = (before.codec, before.width, before.height)
        if not self.pulling and shown != (news.codec, news.width, news.height):
            self._name.stand_by(self.claim)

    # The end.

    def end_announced(self, now: float) -> None:
        """The owner said that the stream has ended; its last frames may not all be here."""
        self._end_announced = now

    def over(self, now: float) -> bool:
        """Whether nothing of a stream that nobody announces any more is still to come."""
        announced = self._end_announced
        waiting = self.pulling and self._hello is not None and not self._end_heard
        return not waiting or announced is None or now - announced > END_PATIENCE

    # Interest.

    def look(self, now: float) -> None:
        """See who reads; called when rung and about twice a second."""
        if self._name.readers:
            self._readers_seen = now
            if not self.pulling:
                self._join()
        elif self.pulling and now - self._readers_seen > self._context.grace:
            self._leave()
            return
        if self._lane is None:
            return
        self._lane.check()
        if self._hello is not None and self._name.key_requested:
            self._want_key(now)
        self._mend(now)
        if now - self._said_at >= HEARTBEAT:
            if self._hello is None and self._lane.is_open:
                # The owner may not have heard of us.
                self._ask(now)
            else:
                self._say(Want(True), now)

    def ask(self, now: float) -> None:
        """The owner may know nothing of this node: ask again for what is wanted."""
        if self._lane is not None and self._lane.is_open:
            self._ask(now)

    def _join(self) -> None:
        self.pulling = True
        self._left = False
        context, owner = self._context, self.claim.node
        frames = context.subjects.frames(self.stream, owner)
        replay = context.subjects.replay(self.stream, owner=owner)
        self._lane = ReceivingLane(
            context.link.connections,
            {
                frames: partial(self._receive, replayed=False),
                replay: partial(self._receive, replayed=True),
            },
            self._greet,
        )

    def _greet(self) -> tuple[str, bytes]:
        """What the owner is asked over each connection."""
        self._reset_joiners()
        now = self._said_at = time.monotonic()
        self._unfit_since = None
        if self._left:
            # Not for what was sent since the newest key frame, which is what came too slowly.
            self._left = False
            self._delay.expect_fresh()
            self._key_asked = now
            self._context.counters.add(Counter.KEY_REQUESTS)
            return self._want_subject(), encode(Want(True, key=True))
        self._delay.reset()
        self._asked_at = now
        return self._want_subject(), encode(Want(True, join=True, sent=unix_us()))

    def _ask(self, now: float) -> None:
        """Ask for the stream from its newest key frame on."""
        self._asked_at = now
        self._say(Want(True, join=True, sent=unix_us()), now)

    def _leave(self) -> None:
        self._stop()
        if self._hello is not None:
            self._hello = None
            self._name.stand_by(self.claim)
        self._order = FrameOrder()

    def _stop(self) -> None:
        self.pulling = False
        self._reset_joiners()
        if self._lane is not None:
            self._lane.close()
            self._lane = None
        self._context.link.send(self._want_subject(), encode(Want(False)))

    def _reset_joiners(self) -> None:
        for joiner in self._joiners:
            joiner.reset()

    def _say(self, want: Want, now: float) -> None:
        self._said_at = now
        self._context.link.send(self._want_subject(), encode(want))

    def _want_key(self, now: float) -> None:
        if now - self._key_asked >= KEY_INTERVAL:
            self._key_asked = now
            self._context.counters.add(Counter.KEY_REQUESTS)
            self._say(Want(True, key=True), now)

    def _want_subject(self) -> str:
        return self._context.subjects.want(self.claim.node, self.stream)

    # Frames.

    def _receive(self, data: bytes, *, replayed: bool) -> None:
        """Take a message of the stream's owner.

        Args:
            replayed: whether it is for this node alone.
        """
        if not self.pulling:
            return
        try:
            message = decode(data)
            if isinstance(message, Hello):
                self._meet(message)
            elif isinstance(message, Piece) and self._hello is not None:
                self._take(message, replayed=replayed)
            elif isinstance(message, End) and message.run == self._order.run:
                self._end_heard = True
                self._context.on_end(self.stream)
            self._trouble = ""
        except TakenOver:
            # Told by `taken_over`.
            pass
        except MessageInvalid as exc:
            self._complain(logging.WARNING, exc)
        except (BusError, OSError) as exc:
            self._order.need_key()
            self._complain(logging.ERROR, exc)

    def _complain(self, level: int, error: Exception) -> None:
        """Log each trouble once."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            log.log(level, "stream %s from node %s: %s", self.stream, self.claim.node, error)

    def _meet(self, hello: Hello) -> None:
        if hello.echo:
            self._clock_ahead = hello.clock - (hello.echo + unix_us()) // 2
        before = self._hello
        if before is None or hello.run != self._order.run:
            if before is None or hello.epoch != before.epoch:
                self._name.flow(hello, self.claim.node, self._context.capacity)
            else:
                self._name.update(hello)
            self._hello = hello
            self._order.begin(hello.run)
            self._end_heard = False
        self._name.set_clock_offset(hello.offset + self._clock_ahead)

    def _take(self, piece: Piece, *, replayed: bool) -> None:
        now = time.monotonic()
        if not replayed:
            lag = self._delay.lag(piece.sent, unix_us(), now)
            limit = MAX_KEY_LAG if self._order.needs_key else MAX_LAG
            waiting = self._delay.is_backlog(len(piece.data), lag, limit)
            # Not in the middle of a frame: a large one may take that long by itself.
            if waiting and piece.index == 0:
                self._reopen()
                return
            if self._order.fits(piece.run, piece.number):
                self._unfit_since = None
            elif self._unfit_since is None:
                # One that came twice, for example: in a replay, too, which has just been read.
                self._unfit_since = now
            elif now - self._unfit_since > DOUBT:
                self._doubt(now)
                return
        joiner = self._joiners[replayed]
        bad = joiner.corrupt, joiner.incomplete
        frame = joiner.add(piece)
        counters = self._context.counters
        counters.add(Counter.CORRUPT, joiner.corrupt - bad[0])
        counters.add(Counter.INCOMPLETE, joiner.incomplete - bad[1])
        if frame is not None:
            lost = self._order.lost
            for each in self._order.add(frame):
                self._write(each)
            counters.add(Counter.LOST, self._order.lost - lost)
        self._mend(now)

    def _write(self, frame: NumberedFrame) -> None:
        if not self._name.write(frame.envelope):
            self._order.need_key()
            return
        self._context.counters.add(Counter.FRAMES_RECEIVED)
        self._context.counters.add(Counter.BYTES_RECEIVED, len(frame.envelope))

    def _mend(self, now: float) -> None:
        """Ask for a key frame where it is missing, unless one may be on its way already."""
        waited = now - self._asked_at >= KEY_INTERVAL
        if waited and self._hello is not None and self._order.needs_key:
            self._want_key(now)

    def _reopen(self) -> None:
        """Drop what NATS holds for this node, of which nothing is new any more."""
        assert self._lane is not None
        self._context.link.connections.complaints.say(
            f"stream {self.stream} from node {self.claim.node} comes too slowly; "
            "going on with a newer key frame"
        )
        self._context.counters.add(Counter.LAGGED)
        self._order.need_key()
        self._left = True
        self._lane.reopen()

    def _doubt(self, now: float) -> None:
        """Believe the next hello, whatever it says, and ask for it."""
        self._unfit_since = None
        self._order = FrameOrder(lost=self._order.lost)
        self._ask(now)

    def close(self) -> None:
        """End the stream here; its viewers wait for its return. May be called twice."""
        if self.pulling:
            self._stop()
        self._name.close()
