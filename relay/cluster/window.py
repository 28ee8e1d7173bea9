"""How much of a stream may be on its way without NATS having confirmed it.

Pure. What is sent waits in buffers that nobody can take it back from: the kernel's, and the
network's. So no more is sent than the link carries in the time that we are patient, as far as
confirmations (PING and PONG, which keep their order among messages) show; frames beyond it grow old
in their outbox instead, where the newest replace them. A stream that needs less is never held up,
however late confirmations are.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LEAST", "MOST", "Window"]

PATIENCE: Final = 0.25
"""Seconds beyond the shortest round trip that a confirmation may take."""
BEGIN: Final = 256 * 1024
LEAST: Final = 16 * 1024
MOST: Final = 8 * 1024 * 1024


class Window:
    """Of one connection.

    Attributes:
        size: bytes that may be unconfirmed.
        unconfirmed: bytes that are.
    """

    __slots__ = ("_shortest", "size", "unconfirmed")

    def __init__(self) -> None:
        self.size = BEGIN
        self.unconfirmed = 0
        self._shortest = float("inf")

    @property
    def open(self) -> bool:
        """Whether another message may be sent."""
        return self.unconfirmed < self.size

    def sent(self, size: int) -> None:
        """A message went out."""
        self.unconfirmed += size

    def confirmed(self, size: int, took: float) -> None:
        """NATS has the first ``size`` bytes of what was unconfirmed.

        Args:
            took: seconds from the question, asked behind these bytes, to the answer.
        """
        self.unconfirmed -= size
        self._shortest = min(self._shortest, took)
        waited = took - self._shortest
        carried = int(size * PATIENCE / max(waited, 0.001))
        if waited > PATIENCE:
            # Little that comes late is not late because of us.
            if size > LEAST:
                self.size = max(LEAST, min(self.size, carried))
        elif size >= self.size // 2:
            self.size = min(MOST, 2 * self.size, max(self.size, carried))
