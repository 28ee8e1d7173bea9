"""A server whose limits are known: it plays the relay to a load test, in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgpack
from websockets.asyncio.server import ServerConnection, broadcast, serve

from bus.frame import encode

__all__ = ["ThrottledServer"]


class ThrottledServer:
    """Sends every viewer the same frames, and is as slow as it is told.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self,
        latency_us: Callable[[int], int] = lambda viewers: 0,
        *,
        fps: float = 20.0,
        most: int = 1 << 30,
    ) -> None:
        """Prepare.

        Args:
            latency_us: how old each frame is when it is sent, by the number of viewers.
            fps: frames a second.
            most: viewers above which others are told to try again later.
        """
        self.port = 0
        self._latency_us = latency_us
        self._fps = fps
        self._most = most
        self._viewers: set[ServerConnection] = set()
        self._up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        self._done = asyncio.Event()
        async with serve(self._view, "127.0.0.1", 0, compression=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._up.set()
            sending = asyncio.create_task(self._send())
            await self._done.wait()
            sending.cancel()

    async def _view(self, viewer: ServerConnection) -> None:
        if len(self._viewers) >= self._most:
            await viewer.close(1013, "full")
            return
        # So far in the past that no frame is older than the viewer.
        hello = {"type": "hello", "server_us": 1, "offset_us": 0, "worker": 0}
        await viewer.send(msgpack.packb(hello))
        self._viewers.add(viewer)
        try:
            async for message in viewer:
                said = msgpack.unpackb(message)
                if said["type"] == "ping":
                    now = time.time_ns() // 1000
                    await viewer.send(msgpack.packb({"type": "pong", "t0": said["t0"], "t1": now}))
        finally:
            self._viewers.discard(viewer)

    async def _send(self) -> None:
        seq = 0
        while True:
            capture_us = time.time_ns() // 1000 - self._latency_us(len(self._viewers))
            broadcast(self._viewers, encode(seq, capture_us, capture_us, 1, bytes(200)))
            seq += 1
            await asyncio.sleep(1 / self._fps)
