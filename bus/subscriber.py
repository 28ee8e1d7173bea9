"""The public way to read a stream from a program on this host."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self

from bus.directory import Directory
from bus.doorbell import open_doorbell
from bus.errors import BusError
from bus.frame import Frame, decode
from bus.names import check_stream, resolve_instance
from bus.ring import Record
from bus.stream import Metadata
from bus.subscription import Ended, Started, Subscription

__all__ = ["Subscriber"]

_TOKEN = 1


class Subscriber:
    """Frames of one stream, from its newest key frame on.

    Iterating blocks, or awaits, until the next frame. It waits for a publisher that has not
    come yet and goes on with the next one after a publisher died; it ends when the
    publisher ends the stream. A subscriber that is too slow misses frames (see `lost`)
    and goes on with a key frame; it never delays the publisher.

    Example::

        for frame in Subscriber("cam0", timeout=5):
            show(frame.payload)

    Attributes:
        stream: stream name.
        instance: instance name.
    """

    def __init__(
        self, stream: str, *, instance: str | None = None, timeout: float | None = None
    ) -> None:
        """Begin to listen.

        Args:
            stream: stream name.
            instance: which relay of this host; default ``$RELAY_INSTANCE`` or ``default``.
            timeout: seconds to wait for each frame; None waits for ever.

        Raises:
            InvalidName: bad stream or instance name.
            SegmentInvalid: the stream's segment is foreign, truncated or older.
            TooManyReaders: 64 processes read the stream already.
        """
        self.stream = check_stream(stream)
        self.instance = resolve_instance(instance)
        self.timeout = timeout
        self._metadata: Metadata | None = None
        self._need_key = True
        self._closed = True
        self._pid = os.getpid()
        self._directory = Directory(self.instance)
        self._bell = open_doorbell(self.instance)
        self._subscription = Subscription(self.instance, self.stream, self._bell, _TOKEN)
        try:
            self._news = self._directory.listen(self._bell)
            self._subscription.try_attach()
        except BaseException:
            self._let_go()
            raise
        self._closed = False

    @property
    def metadata(self) -> Metadata | None:
        """What the publisher told of the stream; None before it came."""
        return self._metadata

    @property
    def lost(self) -> int:
        """Frames missed so far because this program read too slowly."""
        return self._subscription.lost

    def want_key(self) -> None:
        """Ask the publisher for a key frame."""
        self._subscription.want_key()

    def _take(self) -> Frame | Ended | None:
        """The next frame or end that is there already."""
        if self._closed:
            raise BusError(f"the subscriber of stream {self.stream!r} is closed")
        while (event := self._subscription.poll()) is not None:
            match event:
                case Started(metadata):
                    self._start(metadata)
                case Ended():
                    self._need_key = True
                    if event is Ended.CLOSED:
                        return event
                case Record():
                    if event.lost:
                        self._need_key = True
                    if event.key or not self._need_key:
                        self._need_key = False
                        return decode(event.data)
        return None

    def _start(self, metadata: Metadata) -> None:
        before, self._metadata = self._metadata, metadata
        if before is None or (before.epoch, before.codec, before.init) != (
            metadata.epoch,
            metadata.codec,
            metadata.init,
        ):
            self._need_key = True

    def _rest(self) -> bool:
        """Prepare to wait; False when there is something to take instead."""
        if not self._subscription.attached and self._subscription.try_attach():
            return False
        return self._subscription.sleep()

    def read(self, timeout: float | None = None) -> Frame | None:
        """The next frame; None when the publisher has ended the stream.

        Args:
            timeout: seconds to wait; default the subscriber's own.

        Raises:
            TimeoutError: when no frame came in time.
            BusError: the subscriber is closed.
        """
        if timeout is None:
            timeout = self.timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            taken = self._take()
            if isinstance(taken, Frame):
                return taken
            if taken is not None:
                return None
            if not self._rest():
                continue
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not self._bell.wait(left):
                raise TimeoutError(f"no frame of stream {self.stream!r} within {timeout} s")
            self._bell.drain()

    async def read_async(self, timeout: float | None = None) -> Frame | None:
        """As `read`, for asyncio programs.

        Raises:
            TimeoutError: when no frame came in time.
        """
        if timeout is None:
            timeout = self.timeout
        try:
            async with asyncio.timeout(timeout):
                return await self._read_async()
        except TimeoutError:
            raise TimeoutError(f"no frame of stream {self.stream!r} within {timeout} s") from None

    async def _read_async(self) -> Frame | None:
        loop = asyncio.get_running_loop()
        while True:
            taken = self._take()
            if isinstance(taken, Frame):
                return taken
            if taken is not None:
                return None
            if not self._rest():
                continue
            rung = loop.create_future()
            self._bell.attach(loop, functools.partial(_resolve, rung))
            try:
                await rung
            finally:
                self._bell.detach()
            self._bell.drain()

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while (frame := await self.read_async()) is not None:
            yield frame

    def close(self) -> None:
        """Stop listening. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._directory.readers.release(self._news)
        self._let_go()

    def _let_go(self) -> None:
        self._subscription.close()
        self._bell.close()
        self._directory.remove_if_unused()
        self._directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Interpreter shutdown may have taken parts away already. A fork's copy is not ours.
        with contextlib.suppress(Exception):
            if self._pid == os.getpid():
                self.close()


def _resolve(rung: asyncio.Future[None]) -> None:
    if not rung.done():
        rung.set_result(None)
