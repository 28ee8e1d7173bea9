"""Which nodes live, which streams they publish, and who of several owns a stream.

Pure: the clock is a parameter. Everything in here was heard within `EXPIRY` seconds, so a node
that was killed or cut off is forgotten like one that said goodbye. What others announce is
bounded here: beyond that, what is known already stays, and the rest is not taken in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.cluster.messages import Announcement

__all__ = ["EXPIRY", "HEARTBEAT", "MAX_NODES", "MAX_STREAMS", "Claim", "ClusterDirectory"]

HEARTBEAT: Final = 1.0
"""Seconds between two announcements of the same thing."""
EXPIRY: Final = 3.5
"""Seconds after which what was not announced again is gone: three announcements lost."""
MAX_NODES: Final = 4096
MAX_STREAMS: Final = 8192
"""Names of streams, whoever claims them."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A node's claim to a stream."""

    node: str
    announcement: Announcement

    @property
    def rank(self) -> tuple[int, int, str]:
        """The smallest owns the stream: the highest term, the oldest, the first by name."""
        return (-self.announcement.term, self.announcement.since, self.node)


class ClusterDirectory:
    """What one node knows of the others."""

    __slots__ = ("_claims", "_nodes")

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[float, int]] = {}
        self._claims: dict[str, dict[str, tuple[float, Announcement]]] = {}

    @property
    def nodes(self) -> list[str]:
        """Names of the other nodes that live."""
        return sorted(self._nodes)

    def heard_node(self, node: str, boot: int, now: float) -> bool:
        """A node gave a sign of life; whether it is new, or was started again."""
        before = self._nodes.get(node)
        if before is None and len(self._nodes) >= MAX_NODES:
            return False
        self._nodes[node] = (now, boot)
        return before is None or before[1] != boot

    def heard_stream(self, node: str, stream: str, news: Announcement, now: float) -> None:
        """A node announced a stream, or its end."""
        claims = self._claims.get(stream)
        if news.live:
            if claims is None and len(self._claims) < MAX_STREAMS:
                claims = self._claims[stream] = {}
            if claims is not None and (node in claims or len(claims) < MAX_NODES):
                claims[node] = (now, news)
        elif claims is not None and node in claims and claims[node][1].since <= news.since:
            del claims[node]
            if not claims:
                del self._claims[stream]

    def expire(self, now: float) -> None:
        """Forget what was not heard of for too long."""
        before = now - EXPIRY
        self._nodes = {node: heard for node, heard in self._nodes.items() if heard[0] >= before}
        kept = {
            stream: {node: heard for node, heard in claims.items() if heard[0] >= before}
            for stream, claims in self._claims.items()
        }
        self._claims = {stream: claims for stream, claims in kept.items() if claims}

    def owners(self) -> dict[str, Claim]:
        """The best claim of another node to each stream."""
        return {stream: claim for stream in self._claims if (claim := self.owner(stream))}

    def owner(self, stream: str) -> Claim | None:
        """The best claim of another node to a stream."""
        claims = [Claim(node, news) for node, (_, news) in self._claims.get(stream, {}).items()]
        return min(claims, key=lambda each: each.rank, default=None)

    def next_term(self, stream: str) -> int:
        """Term for a publisher here that takes the stream from its owner."""
        owner = self.owner(stream)
        return 0 if owner is None else owner.announcement.term + 1
