"""What goes wrong with a peer, as values that carry their close code.

A `PeerError` is about one connection and never about the worker.
"""

from __future__ import annotations

from websockets.frames import CloseCode

from workers.table import Column

__all__ = ["REASON_LIMIT", "PeerError", "close_reason"]

REASON_LIMIT = 123
"""Bytes of UTF-8 that a close reason may have (RFC 6455, section 5.5)."""


def close_reason(text: str) -> str:
    """``text`` cut so that it fits into a Close frame."""
    raw = text.encode()
    if len(raw) <= REASON_LIMIT:
        return text
    return raw[: REASON_LIMIT - 3].decode(errors="ignore") + "..."


class PeerError(Exception):
    """A peer is refused or sent something that ends its connection.

    Attributes:
        code: close code for the peer.
        reason: one line for the peer and the log, without secrets.
        column: statistic that counts it.
    """

    def __init__(self, code: CloseCode, reason: str, column: Column) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.column = column

    def __str__(self) -> str:
        return self.reason
