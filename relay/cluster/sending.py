"""All streams of this node that others want, and those whose end is still on its way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

from bus.doorbell import Doorbell
from relay.cluster.counters import ClusterCounters
from relay.cluster.link import Link
from relay.cluster.messages import Want
from relay.cluster.outbox import Notice
from relay.cluster.outgoing import OutgoingStream
from relay.cluster.subjects import Subjects

__all__ = ["Sending"]


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
        self._keep_if_wanted(outgoing)
        self._link.wake()

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
        self._link.sources.append(outgoing)
        self._pump(outgoing)
        return outgoing

    def end(self, stream: str, notice: Notice) -> bool:
        """Send a stream's last frames, and the news of its end behind them.

        Returns:
            False when nobody wants the stream, so that nothing is sent.
        """
        outgoing = self._wanted.pop(stream, None)
        if outgoing is None:
            return False
        outgoing.end(notice)
        self._ending.append(outgoing)
        self._link.wake()
        return True

    def rung(self, tokens: set[int]) -> None:
        """The doorbell rang with these tokens."""
        for outgoing in self._wanted.values():
            if outgoing.token in tokens:
                self._pump(outgoing)

    def tick(self, now: float) -> None:
        """Called about twice a second."""
        for outgoing in list(self._wanted.values()):
            outgoing.expire(now)
            self._keep_if_wanted(outgoing)
        for outgoing in [each for each in self._ending if each.idle]:
            self._ending.remove(outgoing)
            self._close(outgoing)

    def _pump(self, outgoing: OutgoingStream) -> None:
        if self._wanted.get(outgoing.stream) is outgoing:
            if outgoing.pump():
                self._loop.call_soon(self._pump, outgoing)
            self._link.wake()

    def _keep_if_wanted(self, outgoing: OutgoingStream) -> None:
        if not outgoing.wanted:
            del self._wanted[outgoing.stream]
            self._close(outgoing)

    def _close(self, outgoing: OutgoingStream) -> None:
        self._link.sources.remove(outgoing)
        outgoing.close()

    def close(self) -> None:
        """Stop reading all of them."""
        for outgoing in itertools.chain(self._wanted.values(), self._ending):
            outgoing.close()
