"""What tests ask of a connection of the `websockets` library, as other people's programs use it.

These clients read in a thread of their own, so what the relay has said is not yet what a test
sees: nothing here guesses how long that takes.
"""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.sync.client import ClientConnection

from tests.e2e.waiting import WATCHDOG

__all__ = ["close_of", "is_open", "message"]


def message(client: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of a type; others are passed over."""
    while True:
        value = msgpack.unpackb(client.recv(WATCHDOG))
        if isinstance(value, dict) and value["type"] == kind:
            return value


def close_of(client: ClientConnection) -> tuple[int, str]:
    """Wait for the relay's Close; code and reason."""
    with pytest.raises(ConnectionClosed) as ended:
        while True:
            client.recv(WATCHDOG)
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


def is_open(client: ClientConnection) -> bool:
    """Whether the relay keeps a connection: it answers, behind everything that it had to say."""
    try:
        answered = client.ping(ack_on_close=True)
    except ConnectionClosed:
        return False
    assert answered.wait(WATCHDOG), "the relay neither answers a ping nor closes"
    return client.protocol.state is State.OPEN
