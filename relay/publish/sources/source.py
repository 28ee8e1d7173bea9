"""One opened source: its video stream, and the packets of that stream alone.

Everything that PyAV raises is turned into `SourceError` (cannot be opened) or `SourceLost`
(was open and broke) here, so callers see sentences only.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from relay.publish.errors import SourceError, SourceLost
from relay.publish.sources.locations import Kind, Location

__all__ = ["Source"]

_OPEN_TIMEOUT_S = 15.0
_READ_TIMEOUT_S = 15.0
_SEGMENTED = frozenset({"hls", "dash"})  # live, but delivered in bursts of seconds
_MAX_FPS = 480


class Source:
    """An open source. Used by one thread, as a context manager.

    Attributes:
        video: PyAV's stream.
        codec: FFmpeg's name of the codec, such as ``h264``.
        recorded: whether it has an end, so it may be repeated and must be paced.
        paced: whether frames have to be held back until their time.
        fps: nominal frames per second, 0.0 when unknown.
    """

    def __init__(self, location: Location) -> None:
        """
        Raises:
            SourceError: when it cannot be opened or has no video.
        """
        self._location = location
        try:
            self._container: InputContainer = av.open(
                location.file,
                mode="r",
                format=location.format,
                options=dict(location.options),
                # A device may rightly be silent for long, and a file never times out.
                timeout=(_OPEN_TIMEOUT_S, _READ_TIMEOUT_S) if location.kind is Kind.URL else None,
            )
        except (av.error.FFmpegError, ValueError, OSError) as exc:
            raise SourceError(_why_not(location, exc)) from None
        try:
            self.video = self._pick_video()
        except BaseException:
            self._container.close()
            raise
        self.codec = self.video.codec_context.codec.canonical_name
        duration = self._container.duration
        self.recorded = location.kind is Kind.FILE or (
            location.kind is Kind.URL and duration is not None and duration > 0
        )
        self.paced = self.recorded or bool(
            _SEGMENTED.intersection(self._container.format.name.split(","))
        )
        rate = self.video.average_rate or self.video.guessed_rate or 0
        self.fps = float(rate) if 0 < rate <= _MAX_FPS else 0.0

    def _pick_video(self) -> VideoStream:
        for stream in self._container.streams.video:
            # The cover picture of a song is no video.
            if not stream.disposition & Disposition.attached_pic:
                return stream
        raise SourceError(
            f"{self._location.title!r} has no video stream; publish a file with video"
        )

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """The video's packets in decode order.

        Raises:
            SourceLost: when the source breaks.
        """
        try:
            for packet in self._container.demux(self.video):
                if packet.size:  # the last one is an empty flush packet
                    yield packet
        except av.error.FFmpegError as exc:
            raise SourceLost(f"{self._location.title!r} broke: {_reason(exc)}") from None

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _reason(exc: Exception) -> str:
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    if isinstance(exc, av.error.ExitError):  # PyAV's name for its own time-out
        text = "it does not answer"
    return str(text).strip().rstrip(".")


def _why_not(location: Location, exc: Exception) -> str:
    name = location.title
    if isinstance(exc, av.error.ProtocolNotFoundError):
        return f"{name!r}: FFmpeg knows no such kind of URL; use rtsp://, http://, srt:// or a file"
    if isinstance(exc, av.error.InvalidDataError):
        return f"{name!r} is not a video that FFmpeg can read; convert it, or check the name"
    if isinstance(exc, ValueError) and not isinstance(exc, av.error.FFmpegError):
        # PyAV's answer when this build lacks the input format.
        return f"{name!r}: this PyAV has no {location.format}; install the wheel of av"
    hint = location.hint or "check the address, and that it is running"
    if location.kind is Kind.FILE:
        hint = "check its permissions"
    return f"cannot open {name!r}: {_reason(exc)}; {hint}"
