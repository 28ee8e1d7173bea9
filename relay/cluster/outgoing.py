"""A stream of this node on its way to the nodes that want it.

Exists while somebody wants it. Reads the ring like a worker does, and is the `Source` of its
lane: the stream itself, and a replay for each node that joins while it flows. The last that goes
over it is that the stream has ended, so whoever hears that has everything before it.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from bus.doorbell import Doorbell
from bus.errors import BusError
from bus.ring import Record
from bus.stream import Metadata
from bus.subscription import Ended, Started, Subscription
from relay.cluster.counters import ClusterCounters, Counter
from relay.cluster.directory import EXPIRY, MAX_NODES
from relay.cluster.messages import End, Hello, Want, encode
from relay.cluster.outbox import Notice, Outbox
from relay.cluster.pieces import NumberedFrame, split
from relay.cluster.subjects import Subjects

__all__ = ["OutgoingStream", "unix_us"]

log = logging.getLogger(__name__)

MAX_AGE: Final = 1.0
"""Seconds that a frame may wait to be sent, as long as a viewer may lag by default."""
KEY_INTERVAL: Final = 0.5
"""Seconds between two requests for a key frame that the link made necessary."""
SILENCE: Final = 1.0
EVENTS_PER_TURN: Final = 64


def unix_us() -> int:
    """Unix time, microseconds."""
    return time.time_ns() // 1000


@dataclass(slots=True)
class _Replay:
    subject: str
    waiting: deque[NumberedFrame | Notice]


class OutgoingStream:
    """See the module.

    Attributes:
        stream: stream name.
        token: doorbell token that stands for it.
    """

    def __init__(
        self,
        instance: str,
        stream: str,
        token: int,
        *,
        piece_bytes: Callable[[], int],
        bell: Doorbell,
        subjects: Subjects,
        counters: ClusterCounters,
    ) -> None:
        self.stream = stream
        self.token = token
        self._subjects = subjects
        self._counters = counters
        self._subscription = Subscription(instance, stream, bell, token)
        self._subject = subjects.frames(stream)
        self._outbox = Outbox(MAX_AGE)
        self._dropped = 0
        self._piece_bytes = piece_bytes
        self._pieces: Iterator[tuple[str, bytes]] = iter(())
        self._replays: dict[str, _Replay] = {}
        self._wanted: dict[str, float] = {}
        self._hello: Hello | None = None
        self._number = 0
        self._ended_at: float | None = None
        self._key_asked = 0.0
        self._last_record = time.monotonic()

    @property
    def wanted(self) -> bool:
        """Whether any node wants it."""
        return bool(self._wanted)

    def over(self, now: float) -> bool:
        """Whether it has ended, and nothing that still matters waits to be sent."""
        ended = self._ended_at
        return ended is not None and (not self._outbox or now - ended > 2 * MAX_AGE)

    def want(self, node: str, want: Want, now: float) -> None:
        """A node said what it wants."""
        if not want.wanted:
            self._wanted.pop(node, None)
            self._replays.pop(node, None)
            return
        if node not in self._wanted and len(self._wanted) >= MAX_NODES:
            return
        self._wanted[node] = now + EXPIRY
        if want.join and self._hello is not None:
            self._replay(node, want)
        if want.key:
            self._subscription.want_key()

    def _replay(self, node: str, want: Want) -> None:
        """Let a node begin with the newest key frame; others do not hear it again."""
        assert self._hello is not None
        hello = replace(
            self._hello,
            clock=unix_us(),
            echo=want.sent,
            offset=self._subscription.clock_offset_us,
        )
        subject = self._subjects.replay(self.stream, to=node)
        group = self._outbox.group
        waiting: deque[NumberedFrame | Notice] = deque([Notice(subject, encode(hello)), *group])
        self._replays[node] = _Replay(subject, waiting)
        self._counters.add(Counter.REPLAYS)
        if not group and not self._outbox:
            self._want_key(time.monotonic())

    def expire(self, now: float) -> None:
        """Forget nodes that are gone; called about twice a second."""
        self._wanted = {node: until for node, until in self._wanted.items() if until >= now}
        if now - self._last_record > SILENCE:
            # A writer that was killed between its record and its ring told nobody of it.
            self._last_record = now
            self.pump()
            self._subscription.check_publisher()

    def end(self) -> None:
        """The publisher has left: take its last frames, and say that it ended behind them."""
        self.pump()
        # From here on the name may lead to another publisher's frames.
        now = self._ended_at = time.monotonic()
        self._subscription.close()
        if self._hello is not None:
            self._outbox.notice(Notice(self._subject, encode(End(self._hello.run))), now)

    def pump(self) -> bool:
        """Take what the ring has; whether there may be more."""
        if self._ended_at is not None:
            return False
        try:
            for _ in range(EVENTS_PER_TURN):
                if not self._subscription.attached and not self._subscription.try_attach():
                    return False
                match self._subscription.poll():
                    case Record() as record:
                        self._record(record)
                    case Started(metadata):
                        self._started(metadata)
                    case Ended():
                        pass
                    case None:
                        if self._subscription.attached and self._subscription.sleep():
                            return False
        except (BusError, OSError) as exc:
            log.error("stream %s: %s", self.stream, exc)
            return False
        return True

    def _started(self, metadata: Metadata) -> None:
        self._number = 0
        self._outbox.restart()
        self._hello = Hello(
            run=max(unix_us(), self._hello.run + 1 if self._hello else 0),
            epoch=metadata.epoch,
            codec=metadata.codec,
            width=metadata.width,
            height=metadata.height,
            fps=metadata.fps,
            init=metadata.init,
            offset=self._subscription.clock_offset_us,
            clock=unix_us(),
        )
        self._outbox.notice(Notice(self._subject, encode(self._hello)), time.monotonic())

    def _record(self, record: Record) -> None:
        if self._hello is None:
            return
        now = self._last_record = time.monotonic()
        if record.lost:
            # Numbers are left out, so receivers see the gap too.
            self._number += record.lost
            self._outbox.needs_key = True
        frame = NumberedFrame(self._hello.run, self._number, record.key, record.data)
        self._number += 1
        self._outbox.push(frame, now)
        if self._outbox.dropped != self._dropped:
            self._counters.add(Counter.DROPPED_SENDING, self._outbox.dropped - self._dropped)
            self._dropped = self._outbox.dropped
        if self._outbox.needs_key:
            self._want_key(now)

    def _want_key(self, now: float) -> None:
        if now - self._key_asked >= KEY_INTERVAL:
            self._key_asked = now
            self._counters.add(Counter.KEY_REQUESTS)
            self._subscription.want_key()

    # The source.

    def begin(self) -> None:
        """A frame that was half sent is lost with the connection."""
        self._pieces = iter(())

    def next_message(self) -> tuple[str, bytes] | None:
        """The next message of the stream or of a replay."""
        while True:
            message = next(self._pieces, None)
            if message is not None:
                return message
            if not self._begin_next():
                return None

    def _begin_next(self) -> bool:
        """Begin with the next frame; replays go first: what they hold was sent before."""
        for node, replay in list(self._replays.items()):
            if replay.waiting:
                self._begin(replay.waiting.popleft(), replay.subject)
                return True
            del self._replays[node]
        self._outbox.expire(time.monotonic())
        item = self._outbox.pop()
        if item is None:
            return False
        self._begin(item, self._subject)
        return True

    def _begin(self, item: NumberedFrame | Notice, subject: str) -> None:
        if isinstance(item, Notice):
            self._pieces = iter([(item.subject, item.data)])
            return
        self._counters.add(Counter.FRAMES_SENT)
        self._counters.add(Counter.BYTES_SENT, len(item.envelope))
        pieces = split(item, self._piece_bytes(), unix_us())
        self._pieces = ((subject, encode(piece)) for piece in pieces)

    def close(self) -> None:
        """Stop reading."""
        self._subscription.close()
