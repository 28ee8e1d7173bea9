"""A publisher over WebSocket that writes when it is told to.

It does not care on which system the relay runs.
"""

from __future__ import annotations

import time
from typing import Final

import msgpack
from websockets.sync.client import ClientConnection

from bus.frame import KEY, encode

__all__ = ["CODEC", "NotTaken", "RemotePublisher"]

CODEC: Final = "avc1.42e01e"
_PATIENCE: Final = 20.0


class NotTaken(Exception):
    """The relay answered the hello with something else than ``ok``."""


class RemotePublisher:
    """One stream, which ends with its connection.

    Attributes:
        epoch: the stream's, as the relay told it.
    """

    def __init__(self, socket: ClientConnection, codec: str = CODEC) -> None:
        """Say hello.

        Args:
            socket: connection to ``/publish/NAME``.
            codec: of the frames.

        Raises:
            NotTaken: the relay did not say ``ok``.
        """
        self._socket = socket
        self._seq = 0
        hello = {
            "type": "hello",
            "codec": codec,
            "width": 640,
            "height": 360,
            "fps": 0,
            "init": b"",
        }
        socket.send(msgpack.packb(hello))
        answer = msgpack.unpackb(socket.recv(timeout=_PATIENCE))
        if answer["type"] != "ok":
            raise NotTaken(f"the relay answered {answer}")
        self.epoch: int = answer["epoch"]

    def write(self, payload: bytes, *, key: bool = True) -> None:
        """Publish a frame."""
        now = time.time_ns() // 1000
        self._socket.send(encode(self._seq, now, now, KEY if key else 0, payload))
        self._seq += 1

    def hear(self) -> bool:
        """Answer what the relay said so far; whether it wants a key frame."""
        wanted = False
        while True:
            try:
                message = msgpack.unpackb(self._socket.recv(timeout=0))
            except TimeoutError:
                return wanted
            if message["type"] == "ping":
                now = time.time_ns() // 1000
                self._socket.send(msgpack.packb({"type": "pong", "t0": message["t0"], "t1": now}))
            wanted = wanted or message["type"] == "key"
