"""Publishes into the shared memory of a relay on this host. See `Sink` in `model`.

Needs no connection: `run` only waits. A lock keeps `finish` from closing the segment under
a pump that is still in `write`.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from bus import BusError, Publisher
from relay.publish.errors import Refused
from relay.publish.model import MediaFrame, StreamInfo

__all__ = ["ShmSink"]


class ShmSink:
    """See `Sink`.

    Args:
        stream: stream name.
        instance: instance name, None for the default.
        takeover: take the stream from a living publisher.
        ring: bytes of shared memory, None for the bus's default.
    """

    dropped = 0  # shared memory never blocks a writer
    reconnects = 0

    def __init__(
        self, stream: str, instance: str | None, *, takeover: bool = False, ring: int | None = None
    ) -> None:
        self._stream = stream
        self._options: dict[str, Any] = {"instance": instance, "takeover": takeover}
        if ring is not None:
            self._options["capacity"] = ring
        self._lock = threading.Lock()
        self._publisher: Publisher | None = None
        self._finished = False
        self._done = asyncio.Event()

    @property
    def key_requested(self) -> bool:
        """Whether a viewer waits for a key frame."""
        return self._publisher is not None and self._publisher.key_requested

    def open(self, info: StreamInfo) -> None:
        """See `Sink.open`."""
        fields: dict[str, Any] = {
            "codec": info.codec,
            "width": info.width,
            "height": info.height,
            "fps": info.fps,
            "init": info.init,
        }
        with self._lock:
            if self._finished:
                return
            try:
                if self._publisher is None:
                    self._publisher = Publisher(self._stream, **fields, **self._options)
                else:
                    self._publisher.update(**fields)
            except (BusError, OSError) as exc:
                raise Refused(str(exc)) from None

    def wait_ready(self) -> None:
        """Shared memory is always ready."""

    def write(self, frame: MediaFrame) -> None:
        """See `Sink.write`."""
        with self._lock:
            if self._finished or self._publisher is None:
                return
            try:
                self._publisher.write(
                    frame.payload,
                    key=frame.key,
                    pts_us=frame.pts_us,
                    capture_us=frame.capture_us,
                )
            except (BusError, OSError) as exc:
                raise Refused(str(exc)) from None

    def abort(self) -> None:
        """Nothing here blocks."""

    async def run(self) -> None:
        """Wait for `finish`."""
        await self._done.wait()

    async def finish(self, *, drain: bool) -> None:
        """Close the stream; readers still find its last frames."""
        with self._lock:
            self._finished = True
            if self._publisher is not None:
                self._publisher.close()
                self._publisher = None
        self._done.set()
