"""All streams of this node that others want, and those whose end is still on its way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from bus.doorbell import Doorbell
from relay.cluster.counters import ClusterCounters
from relay.cluster.lane import SendingLane
from relay.cluster.link import Link
from relay.cluster.messages import Want
from relay.cluster.outgoing import OutgoingStream
from relay.cluster.subjects import Subjects

__all__ = ["Sending"]

FINISH: Final = 1.0
"""Seconds that the bridge's own end may wait for last frames."""


class Sending:
    """Begins with a stream when it is wanted, and lets go of it when nobody wants it."""

    def __init__(
        self,
        instance: str,
        tokens: Iterator[int],
        *,
        bell: Doorbell,
        link: Link,
        subjects: Subjects,
        counters: ClusterCounters,
    ) -> None:
        """Prepare; for a running loop.

        Args:
            instance: whose streams.
            tokens: gives doorbell tokens that nobody uses.
            bell: rung by publishers.
        """
        self._instance = instance
        self._tokens = tokens
        self._bell = bell
        self._link = link
        self._subjects = subjects
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._wanted: dict[str, OutgoingStream] = {}
        self._ending: list[OutgoingStream] = []
        self._lanes: dict[OutgoingStream, SendingLane] = {}

    def __len__(self) -> int:
        return len(self._wanted)

    def want(self, node: str, stream: str, want: Want, now: float) -> None:
        """A node said what it wants of a stream that this node publishes."""
        outgoing = self._wanted.get(stream)
        if outgoing is None:
            if not want.wanted:
                return
            outgoing = self._begin(stream)
        outgoing.want(node, want, now)
        self._lanes[outgoing].wake()
        self._keep_if_wanted(outgoing)

    def _begin(self, stream: str) -> OutgoingStream:
        outgoing = OutgoingStream(
            self._instance,
            stream,
            next(self._tokens),
            piece_bytes=self._link.piece_bytes,
            bell=self._bell,
            subjects=self._subjects,
            counters=self._counters,
        )
        self._wanted[stream] = outgoing
        self._lanes[outgoing] = SendingLane(self._link.connections, outgoing)
        self._pump(outgoing)
        return outgoing

    def end(self, stream: str) -> None:
        """A stream has ended: send its last frames to who wanted it."""
        outgoing = self._wanted.pop(stream, None)
        if outgoing is not None:
            outgoing.end()
            self._ending.append(outgoing)
            self._lanes[outgoing].wake()

    def rung(self, tokens: set[int]) -> None:
        """The doorbell rang with these tokens."""
        for outgoing in self._wanted.values():
            if outgoing.token in tokens:
                self._pump(outgoing)

    def tick(self, now: float) -> None:
        """Called about twice a second."""
        for lane in self._lanes.values():
            lane.check()
        for outgoing in list(self._wanted.values()):
            outgoing.expire(now)
            self._lanes[outgoing].wake()
            self._keep_if_wanted(outgoing)
        for outgoing in [each for each in self._ending if self._sent(each, now)]:
            self._ending.remove(outgoing)
            self._close(outgoing)

    def _sent(self, outgoing: OutgoingStream, now: float) -> bool:
        return outgoing.over(now) and self._lanes[outgoing].confirmed

    async def finish(self) -> None:
        """Wait, not long, until the last frames of what has ended are sent."""
        until = time.monotonic() + FINISH
        while self._ending and time.monotonic() < until:
            await asyncio.sleep(FINISH / 100)
            self.tick(time.monotonic())

    def _pump(self, outgoing: OutgoingStream) -> None:
        if self._wanted.get(outgoing.stream) is outgoing:
            if outgoing.pump():
                self._loop.call_soon(self._pump, outgoing)
            self._lanes[outgoing].wake()

    def _keep_if_wanted(self, outgoing: OutgoingStream) -> None:
        if not outgoing.wanted:
            del self._wanted[outgoing.stream]
            self._close(outgoing)

    def _close(self, outgoing: OutgoingStream) -> None:
        self._lanes.pop(outgoing).close()
        outgoing.close()

    def close(self) -> None:
        """Stop reading all of them."""
        for outgoing in list(self._lanes):
            self._close(outgoing)
