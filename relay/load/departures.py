"""The ways in which a browser leaves, each for a connection that its viewer gives up."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Final

from relay.load.known import KnownFrames
from relay.load.link import Link, NullListener
from relay.load.viewer import Endpoint, dial
from relay.load.wire import request

__all__ = ["HANDSHAKE", "WAYS", "half_a_handshake", "leave_by"]

_UNREAD_TIME: Final = 0.1
_SILENCE: Final = 30.0
_GOODBYE: Final = 5.0
HANDSHAKE: Final = "handshake"
"""As a reset, and the connection after it is gone amid its handshake: `half_a_handshake`."""


def _close(link: Link) -> None:
    """A closed tab: Close, the relay's answer, FIN."""
    link.close()
    _later(_GOODBYE, link)


def _reload(link: Link) -> None:
    """A reloaded tab: Close, and gone with video unread, which resets."""
    link.pause_reading()
    link.close()
    _later(_UNREAD_TIME, link)


def _reset(link: Link) -> None:
    """A killed browser."""
    link.reset()


def _silence(link: Link) -> None:
    """A network that is gone: nothing is read or said any more."""
    link.pause_reading()
    _later(_SILENCE, link)


def _later(delay: float, link: Link) -> None:
    asyncio.get_running_loop().call_later(delay, link.abort)


WAYS: Final[dict[str, Callable[[Link], None]]] = {
    "close": _close,
    "reload": _reload,
    "reset": _reset,
    "silence": _silence,
    HANDSHAKE: _reset,
}


def leave_by() -> str:
    """A way by chance."""
    return random.choice(tuple(WAYS))


async def half_a_handshake(endpoint: Endpoint, path: str) -> None:
    """A tab that is reloaded while it connects."""
    asked = request(path, endpoint.host, endpoint.headers)
    link = Link(asked[: len(asked) // 2], KnownFrames(), NullListener())
    with contextlib.suppress(OSError):
        await dial(endpoint, link)
        link.reset()
