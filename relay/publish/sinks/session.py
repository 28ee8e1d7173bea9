"""One connection's dialogue with a relay: hello, ok, frames, key requests, clocks, the end.

Speaks the wire format over a connected WebSocket. Knows nothing of reconnecting, queues or
threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection

from bus.frame import INIT_CHANGED, KEY, encode
from relay.publish.clock import now_us
from relay.publish.model import MediaFrame, StreamInfo
from relay.publish.sinks.failures import NoAnswer

__all__ = ["Session"]

_OK_TIMEOUT_S = 15.0


class Session:
    """One accepted or refused attempt to publish.

    Args:
        socket: an open connection to the publishing endpoint.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._info: StreamInfo | None = None

    async def hello(self, info: StreamInfo) -> None:
        """Announce the stream and wait for the relay's consent.

        Raises:
            ConnectionClosed: refused; code and reason tell why.
            NoAnswer: the relay said nothing in time.
        """
        await self._announce(info)
        try:
            async with asyncio.timeout(_OK_TIMEOUT_S):
                while await self._control() != "ok":
                    pass
        except TimeoutError:
            raise NoAnswer("the relay did not accept the stream in time") from None

    async def frame(self, frame: MediaFrame, seq: int) -> None:
        """Send a frame, after a new hello when the stream's description changed.

        Returns when the socket's buffer has room again.
        """
        flags = KEY if frame.key else 0
        if frame.info is not self._info:
            await self._announce(frame.info)
            flags |= INIT_CHANGED
        await self._socket.send(encode(seq, frame.pts_us, frame.capture_us, flags, frame.payload))

    async def listen(self, want_key: Callable[[], None]) -> None:
        """Answer the relay until the connection closes.

        Raises:
            ConnectionClosed: always, in the end.
        """
        while True:
            if await self._control() == "key":
                want_key()

    async def end(self) -> None:
        """Say that the stream is over, and close."""
        await self._send({"type": "ended"})
        await self._socket.close()

    async def _announce(self, info: StreamInfo) -> None:
        await self._send(
            {
                "type": "hello",
                "codec": info.codec,
                "width": info.width,
                "height": info.height,
                "fps": info.fps,
                "init": info.init,
            }
        )
        self._info = info

    async def _control(self) -> str:
        """The type of the next message; clock questions are answered on the way."""
        message = _control_message(await self._socket.recv())
        if message.get("type") == "ping":
            t0 = message.get("t0")
            await self._send({"type": "pong", "t0": t0, "t1": now_us()})
        return str(message.get("type"))

    async def _send(self, message: dict[str, Any]) -> None:
        await self._socket.send(msgpack.packb(message))


def _control_message(data: str | bytes) -> dict[str, Any]:
    """Decode a message; what is not understood is for a newer publisher, and no error."""
    if isinstance(data, str):
        return {}
    try:
        value = msgpack.unpackb(data)
    except Exception:  # msgpack documents no closed set of errors for malformed input
        return {}
    return value if isinstance(value, dict) else {}
