"""Publishers of test streams, in a process of their own.

Every payload ends with a seal, by which synthetic viewers check it. For real browsers they are
pictures, encoded once and sent again and again; otherwise noise, of which each second begins
with a key frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from dataclasses import dataclass
from typing import Final

from relay.load.pipe import Pipe
from relay.load.seal import SEAL_BYTES, seal
from relay.load.streams import SyntheticStreams
from relay.publish.clock import now_us
from relay.publish.errors import PublishError
from relay.publish.model import MediaFrame, StreamInfo
from relay.publish.sinks.websocket import WebSocketSink

__all__ = ["PublisherReport", "PublisherSettings", "publishers_main"]

_REPORT: Final = 0.25
_GOP_S: Final = 1.0
_PICTURE: Final = (320, 180)
_NOISE: Final = random.Random(1).randbytes(1 << 20)
_CODEC: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """What the process does.

    Attributes:
        streams: what is published.
        urls: where, one for each stream.
        token: sent in the handshake; empty: none.
        pictures: whether it has to be real video.
    """

    streams: SyntheticStreams
    urls: tuple[str, ...]
    token: str
    pictures: bool


@dataclass(frozen=True, slots=True)
class PublisherReport:
    """What the process says four times a second.

    Attributes:
        live: streams that the relay has accepted.
        failure: why it gave up; empty: it has not.
        trouble: why a stream was not accepted, or not any more, and is tried again.
    """

    live: int
    failure: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Picture:
    body: bytes
    key: bool


def publishers_main(settings: PublisherSettings, pipe: Pipe) -> None:
    """Run in a process of its own; anything that comes by ``pipe``, or its end, stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        clip = _Clip(settings.streams, pictures=settings.pictures)
        asyncio.run(_publish(settings, clip, pipe))
    except PublishError as exc:
        with contextlib.suppress(OSError):
            pipe.send(PublisherReport(0, str(exc)))


class _Clip:
    """A second of frames, played in a loop; it can begin again at any time."""

    def __init__(self, streams: SyntheticStreams, *, pictures: bool) -> None:
        count = max(1, round(streams.fps * _GOP_S))
        if pictures:
            self.info, self._frames = _encoded(streams, count)
        else:
            self.info = StreamInfo(_CODEC, fps=streams.fps)
            self._frames = [_Picture(b"", number == 0) for number in range(count)]
        self._size = streams.size - SEAL_BYTES

    def frame(self, number: int, sequence: int, capture_us: int, pts_us: int) -> MediaFrame:
        """Frame ``number`` of the clip, as the ``sequence``-th of its stream."""
        picture = self._frames[number % len(self._frames)]
        missing = max(0, self._size - len(picture.body))
        start = sequence * 997 % max(1, len(_NOISE) - missing)
        noise = _NOISE[start : start + missing].ljust(missing, b"\xa5")
        payload = seal(picture.body + noise, capture_us)
        return MediaFrame(self.info, payload, picture.key, pts_us, capture_us)


def _encoded(streams: SyntheticStreams, count: int) -> tuple[StreamInfo, list[_Picture]]:
    # Only here, because PyAV and numpy are an extra.
    from av.video.frame import VideoFrame

    from relay.publish.pattern import Pattern
    from relay.publish.sources.encoder import EncoderSettings, open_encoder

    width, height = _PICTURE
    encoder = open_encoder(EncoderSettings("vp8", None, _GOP_S), width, height, streams.fps)
    pattern = Pattern(width, height, streams.names[0], f"{streams.fps:g} FPS")
    found: list[MediaFrame] = []
    for number in range(count):
        picture = VideoFrame.from_ndarray(pattern.draw(number, now_us()), "yuv420p")
        found += encoder.encode(picture, round(number * 1e6 / streams.fps), now_us())
    return found[0].info, [_Picture(each.payload, each.key) for each in found]


async def _publish(settings: PublisherSettings, clip: _Clip, pipe: Pipe) -> None:
    streams = settings.streams
    sinks = [WebSocketSink(url, token=settings.token or None) for url in settings.urls]
    connections = [asyncio.create_task(sink.run()) for sink in sinks]
    for sink in sinks:
        sink.open(clip.info)
    places = [0] * len(sinks)
    start, sequence, next_report = time.monotonic(), 0, 0.0
    while not pipe.poll():
        pts_us = round(sequence * 1e6 / streams.fps)
        for index, sink in enumerate(sinks):
            if sink.key_requested:
                places[index] = 0
            sink.write(clip.frame(places[index], sequence, now_us(), pts_us))
            places[index] += 1
        sequence += 1
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + _REPORT
            if not _tell(pipe, sinks, connections):
                break
        await asyncio.sleep(start + sequence / streams.fps - time.monotonic())
    await asyncio.gather(*(sink.finish(drain=False) for sink in sinks))
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


def _tell(
    pipe: Pipe,
    sinks: list[WebSocketSink],
    connections: list[asyncio.Task[None]],
) -> bool:
    """Report; whether to go on."""
    errors = [each.exception() for each in connections if each.done() and not each.cancelled()]
    failure = next((str(error) for error in errors if error is not None), "")
    trouble = next((sink.trouble for sink in sinks if sink.trouble), "")
    try:
        pipe.send(PublisherReport(sum(sink.accepted for sink in sinks), failure, trouble))
    except OSError:
        return False
    return not failure
