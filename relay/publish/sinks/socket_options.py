"""Kernel options of the publisher's TCP connection.

The kernel may hold megabytes: seconds of video that would arrive, late, before any newer
picture. And without a limit it waits a quarter of an hour for a peer that vanished.
"""

from __future__ import annotations

import contextlib
import socket
from asyncio import BaseTransport

__all__ = ["tune"]

_NOT_SENT_BYTES = 128 * 1024
_USER_TIMEOUT_MS = 15_000


def tune(transport: BaseTransport) -> None:
    """Set what this platform has."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    for name, value in (
        ("TCP_NOTSENT_LOWAT", _NOT_SENT_BYTES),
        ("TCP_USER_TIMEOUT", _USER_TIMEOUT_MS),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):  # a hint, not a need
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
