"""The bridge's numbers, in shared memory, so that any worker can tell them.

Written by the bridge alone; who holds the segment's lock lives.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from bus.layout import HEADER_BYTES, Kind
from bus.names import cluster_object
from bus.segment import Segment

__all__ = ["ClusterCounters", "Counter"]

_BRIDGE_LOCK = 0
_BYTES = 1024


class Counter(IntEnum):
    """Index of a number."""

    CONNECTED = 0
    RECONNECTS = 1
    NODES = 2
    REMOTE_STREAMS = 3
    PULLED_STREAMS = 4
    SENT_STREAMS = 5
    FRAMES_SENT = 6
    BYTES_SENT = 7
    FRAMES_RECEIVED = 8
    BYTES_RECEIVED = 9
    DROPPED_SENDING = 10
    """Frames that were too old to be sent."""
    LOST = 11
    """Frames that another node sent, or dropped, and that did not come."""
    CORRUPT = 12
    INCOMPLETE = 13
    KEY_REQUESTS = 14
    REPLAYS = 15
    SLOW_CONSUMERS = 16
    """Messages that nats-py dropped because this process did not take them in time."""
    LAGGED = 17
    """Times that a stream came too slowly and what waited for it was dropped."""
    CONFLICTS = 18
    """Publishers here that lost their stream to an older claim of another node."""
    REFUSED = 19
    """Times that NATS refused a subject."""
    RTT_US = 20


class ClusterCounters:
    """All numbers of one bridge."""

    __slots__ = ("_segment", "_words")

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._words = segment.slice_words(HEADER_BYTES, HEADER_BYTES + _BYTES)

    @classmethod
    def create(cls, instance: str) -> Self:
        """For the bridge: begin at zero, in place of a dead bridge's.

        Raises:
            NoSpace, SegmentInvalid: when that is impossible.
        """
        name = cluster_object(instance)
        while True:
            segment = Segment.create(name, Kind.CLUSTER, HEADER_BYTES + _BYTES)
            segment.try_lock(_BRIDGE_LOCK)
            if segment.publish():
                return cls(segment)
            segment.close()
            try:
                old = Segment.attach(name, Kind.CLUSTER)
            except LookupError:
                continue
            old.unlink()
            old.close()

    @classmethod
    def read(cls, instance: str) -> dict[Counter, int] | None:
        """For anybody: all numbers; None while no bridge lives.

        Raises:
            SegmentInvalid: when the segment cannot be read.
        """
        try:
            segment = Segment.attach(cluster_object(instance), Kind.CLUSTER)
        except LookupError:
            return None
        try:
            if not segment.locked_elsewhere(_BRIDGE_LOCK):
                return None
            words = segment.slice_words(HEADER_BYTES, HEADER_BYTES + _BYTES)
            return {counter: int(words[counter]) for counter in Counter}
        finally:
            segment.close()

    def add(self, counter: Counter, count: int = 1) -> None:
        """Count."""
        self._words[counter] += count

    def set(self, counter: Counter, value: int) -> None:
        """Replace."""
        self._words[counter] = value

    def close(self) -> None:
        """Remove them."""
        self._segment.unlink()
        self._segment.close()
