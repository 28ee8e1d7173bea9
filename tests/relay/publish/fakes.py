"""Stand-ins with the publisher's own interfaces: a clock, frames, a feed and a sink."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from relay.publish.model import MediaFrame, StreamInfo

__all__ = ["INFO", "FakeClock", "FakeFeed", "FakeSink", "frame", "gop"]

INFO = StreamInfo("vp8", 320, 240, 25.0)


def frame(
    number: int,
    *,
    key: bool = False,
    info: StreamInfo = INFO,
    size: int = 10,
    step_us: int = 40_000,
) -> MediaFrame:
    """Frame ``number`` of a steady stream."""
    payload = number.to_bytes(8, "big").ljust(size, b"\0")
    return MediaFrame(info, payload, key, number * step_us, 1_000_000_000 + number * step_us)


def gop(first: int, length: int, info: StreamInfo = INFO) -> list[MediaFrame]:
    """A key frame and the frames that need it."""
    return [frame(first + index, key=index == 0, info=info) for index in range(length)]


class FakeClock:
    """Time that passes only in `sleep`.

    Attributes:
        now: monotonic seconds.
        slept: what was slept so far, in order.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.stopped = False

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> bool:
        """As `threading.Event.wait`: True when a stop came."""
        self.slept.append(seconds)
        self.now += seconds
        return self.stopped


class FakeFeed:
    """A feed of ready frames."""

    def __init__(self, frames: Iterable[MediaFrame], *, live: bool = False) -> None:
        self._frames = frames
        self.live = live
        self.key_requests = 0

    def request_key(self) -> None:
        self.key_requests += 1

    def frames(self) -> Iterator[MediaFrame]:
        yield from self._frames


class FakeSink:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.opened: list[StreamInfo] = []
        self.written: list[MediaFrame] = []
        self.waits = 0
        self.key_requested = False
        self.dropped = 0
        self.reconnects = 0
        self.aborted = threading.Event()

    def open(self, info: StreamInfo) -> None:
        self.opened.append(info)

    def wait_ready(self) -> None:
        self.waits += 1

    def write(self, frame: MediaFrame) -> None:
        self.written.append(frame)

    def abort(self) -> None:
        self.aborted.set()

    async def run(self) -> None:
        pass

    async def finish(self, *, drain: bool) -> None:
        pass
