"""Frames of anything that FFmpeg opens, at the pace of real time.

A recording ends, or begins again when it is to loop. A live source that breaks is opened
again, for ever, once it has worked: cameras reboot. Packets are passed through where browsers
can decode them, and encoded otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from relay.publish.backoff import Backoff
from relay.publish.clock import now_us
from relay.publish.errors import SourceError, SourceLost
from relay.publish.model import MediaFrame
from relay.publish.sources.encoder import EncoderSettings, open_encoder
from relay.publish.sources.locations import Location
from relay.publish.sources.pacer import Pacer
from relay.publish.sources.passthrough import NeedsEncoding, passthrough_for
from relay.publish.sources.source import Source
from relay.publish.sources.timeline import Timeline
from relay.publish.sources.transcode import Transcoder

__all__ = ["MediaFeed", "Treatment"]

_REOPEN_FIRST_S = 1.0
_REOPEN_CAP_S = 15.0


@dataclass(frozen=True, slots=True)
class Treatment:
    """What to do with a source's video.

    Attributes:
        encoder: settings, for when it is encoded.
        encode: encode even what could be passed through.
        size: scale to this, None for the source's size.
        fps: drop pictures above this rate, None for the source's rate.
        loop: begin a recording again when it ends.
    """

    encoder: EncoderSettings
    encode: bool = False
    size: tuple[int, int] | None = None
    fps: float | None = None
    loop: bool = False


class MediaFeed:
    """See `Feed` in `model`.

    Args:
        location: what to open.
        treatment: what to do with it.
        stop: ends the feed within a frame.
        notice: takes a line for the user.
        pacer: holds the frames of a recording back until their time.
    """

    def __init__(
        self,
        location: Location,
        treatment: Treatment,
        stop: threading.Event,
        notice: Callable[[str], None],
        pacer: Pacer | None = None,
    ) -> None:
        self._location = location
        self._treatment = treatment
        self._stop = stop
        self._notice = notice
        self._timeline = Timeline()
        self._pacer = pacer or Pacer(stop.wait)
        self._backoff = Backoff(_REOPEN_FIRST_S, _REOPEN_CAP_S)
        self._encode = treatment.encode
        self._transcoder = Transcoder(
            partial(open_encoder, treatment.encoder), treatment.size, treatment.fps
        )
        self._live = False

    @property
    def live(self) -> bool:
        """Known once the first frame came."""
        return self._live

    def request_key(self) -> None:
        """Obeyed when the source is being encoded."""
        self._transcoder.request_key()

    def frames(self) -> Iterator[MediaFrame]:
        """See `Feed.frames`."""
        while not self._stop.is_set():
            empty = True
            try:
                with Source(self._location) as source:
                    self._live = not source.recorded
                    for frame in self._play(source):
                        empty = False
                        self._backoff.reset()
                        yield frame
                failure = f"{self._location.title!r} ended"
            except (SourceError, SourceLost) as exc:
                if not self._live:
                    raise
                failure = str(exc)
            if self._stop.is_set():
                return
            if self._live:
                delay = self._backoff.next()
                self._notice(f"{failure}; opening it again in {delay:.1f} s")
                self._stop.wait(delay)
            elif empty:
                raise SourceError(f"{self._location.title!r} holds no video frames")
            elif not self._treatment.loop:
                yield from self._transcoder.flush()
                return

    def _play(self, source: Source) -> Iterator[MediaFrame]:
        """The frames of one opening of the source."""
        self._timeline.restart(int(1_000_000 / source.fps) if source.fps else None)
        codec = self._treatment.encoder.codec
        stage = None
        if not self._encode and codec in ("auto", source.codec):
            stage = passthrough_for(source)
        if stage is None:
            self._transcoder.begin(source)
        for packet in source.packets():
            stamp = self._timeline.place(packet.pts, packet.dts, packet.time_base, packet.duration)
            if source.paced and not self._pacer.wait(stamp.dts_us):
                return
            if self._stop.is_set():
                return
            capture_us = now_us()
            if stage is not None:
                try:
                    frame = stage.push(packet, stamp, capture_us)
                except NeedsEncoding as exc:
                    self._notice(f"{self._location.title!r} is encoded again: {exc}")
                    stage, self._encode = None, True
                    self._transcoder.begin(source)
                else:
                    yield frame
                    continue
            yield from self._transcoder.push(packet, stamp, capture_us)
        if stage is None:
            yield from self._transcoder.end_of_source()
