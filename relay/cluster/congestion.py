"""Which stream is left when this node's link from NATS falls behind.

Pure. All streams come over one connection, so all of them are late together. The one that
brings the most bytes is left, alone, until what was held for it has drained; the others are on time
again by then.
"""

from __future__ import annotations

__all__ = ["Congestion"]


class Congestion:
    """What a node's remote streams share.

    Attributes:
        draining: whether a stream was left and its backlog still comes: whatever else is
            late now is late because of that.
    """

    __slots__ = ("_recent", "draining")

    def __init__(self) -> None:
        self.draining = False
        self._recent: dict[str, float] = {}

    def received(self, stream: str, size: int) -> None:
        """Count bytes of a stream."""
        self._recent[stream] = self._recent.get(stream, 0.0) + size

    def fade(self) -> None:
        """Let earlier bytes count half; called about twice a second.

        Not while a backlog drains: whoever caused it brings nothing meanwhile.
        """
        if self.draining:
            return
        self._recent = {name: size / 2 for name, size in self._recent.items() if size >= 1}

    def is_heaviest(self, stream: str) -> bool:
        """Whether no other stream brought more bytes lately."""
        return self._recent.get(stream, 0.0) >= max(self._recent.values(), default=0.0)
