"""Raw pictures in, encoded frames out, with as little delay as the codec allows.

Every encoder is set up alike: no B-frames, no lookahead, one picture in and one out, key
frames after at most one group of pictures and at once when asked for. H.264 leaves here as
Annex B with parameter sets at each key frame. Which encoder is used is a table: `CHAINS`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
import av.error
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from relay.publish.bitstream import codec_strings
from relay.publish.bitstream.annexb import AnnexBStream
from relay.publish.bitstream.h264 import Sps
from relay.publish.errors import PublishError
from relay.publish.model import MediaFrame, StreamInfo
from relay.publish.sources.key_gate import KeyGate

__all__ = ["CHAINS", "Candidate", "EncoderSettings", "VideoEncoder", "open_encoder"]

_TIME_BASE = Fraction(1, 1_000_000)
_BT709, _BT601, _LIMITED, _FULL = 1, 6, 1, 2  # FFmpeg's AVCOL_* numbers
_BITS_PER_PIXEL = 0.12  # ceiling of the bitrate when the user named none
_MIN_CEILING = 500_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of FFmpeg's encoders and how to make it fast.

    Attributes:
        name: FFmpeg's name.
        family: what comes out: ``h264``, ``vp8``, ``vp9`` or ``mjpeg``.
        options: its private options.
        quality: options that hold a quality when the user named no bitrate.
    """

    name: str
    family: str
    options: dict[str, str] = field(default_factory=dict)
    quality: dict[str, str] = field(default_factory=dict)


_LIBVPX = {
    "deadline": "realtime",
    "cpu-used": "8",
    "lag-in-frames": "0",
    "auto-alt-ref": "0",
    "error-resilient": "default",
}
_H264 = (
    Candidate(
        "libx264",
        "h264",
        {"preset": "superfast", "tune": "zerolatency", "forced-idr": "1"},
        {"crf": "23"},
    ),
    Candidate("h264_nvenc", "h264", {"preset": "p3", "tune": "ull", "forced-idr": "1"}),
    Candidate("h264_qsv", "h264", {"preset": "veryfast", "async_depth": "1", "forced_idr": "1"}),
    Candidate("h264_amf", "h264", {"usage": "ultralowlatency", "forced_idr": "1"}),
    Candidate("h264_mf", "h264"),
    Candidate("libopenh264", "h264", {"allow_skip_frames": "0"}),
    Candidate("h264_v4l2m2m", "h264"),
)
_VP8 = (Candidate("libvpx", "vp8", _LIBVPX, {"crf": "20"}),)
_VP9 = (Candidate("libvpx-vp9", "vp9", {**_LIBVPX, "row-mt": "1"}, {"crf": "32"}),)
_MJPEG = (Candidate("mjpeg", "mjpeg", {}, {"qmin": "4", "qmax": "4"}),)

CHAINS: dict[str, tuple[Candidate, ...]] = {
    "auto": (*_H264, *_VP8, *_VP9, *_MJPEG),
    "h264": _H264,
    "vp8": _VP8,
    "vp9": _VP9,
    "mjpeg": _MJPEG,
}
"""Which encoders to try, in order, for each value of ``--codec``."""


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """What the user chose.

    Attributes:
        codec: a key of `CHAINS`.
        bitrate: bits per second, None for constant quality under a ceiling.
        gop_s: longest time between key frames, seconds.
    """

    codec: str = "auto"
    bitrate: int | None = None
    gop_s: float = 2.0


def open_encoder(
    settings: EncoderSettings,
    width: int,
    height: int,
    fps: float,
    create: Callable[[str], VideoCodecContext] | None = None,
) -> VideoEncoder:
    """Open the first encoder of the chain that works on this machine.

    Args:
        settings: the user's choice.
        width: pixels, even.
        height: pixels, even.
        fps: nominal frames per second.
        create: makes an unopened encoder by name; PyAV's own by default.

    Raises:
        PublishError: when none works.
    """
    chain = CHAINS[settings.codec]
    for candidate in chain:
        try:
            context = (create or _create)(candidate.name)
            _configure(context, candidate, settings, width, height, fps)
            context.open()
        except (av.error.FFmpegError, ValueError):
            continue  # not built into this FFmpeg, or no such hardware
        return VideoEncoder(context, candidate, settings, fps)
    tried = ", ".join(candidate.name for candidate in chain)
    raise PublishError(
        f"no encoder for --codec {settings.codec} works here at {width}x{height} (tried {tried}); "
        "try --codec mjpeg, or install the wheel of av"
    )


def _create(name: str) -> VideoCodecContext:
    context = av.CodecContext.create(name, "w")
    if not isinstance(context, VideoCodecContext):
        raise ValueError(f"{name} encodes no video")
    return context


def _configure(
    context: VideoCodecContext,
    candidate: Candidate,
    settings: EncoderSettings,
    width: int,
    height: int,
    fps: float,
) -> None:
    jpeg = candidate.family == "mjpeg"
    context.width, context.height = width, height
    context.time_base = _TIME_BASE
    context.framerate = Fraction(fps).limit_denominator(1001)
    context.pix_fmt = "yuvj420p" if jpeg else "yuv420p"
    # JPEG is BT.601 in full range by definition; the rest is told to be BT.709.
    context.colorspace = _BT601 if jpeg else _BT709
    context.color_range = _FULL if jpeg else _LIMITED
    context.color_primaries = context.color_trc = _BT709
    context.gop_size = max(round(settings.gop_s * fps), 1)
    context.max_b_frames = 0
    context.thread_count = min(os.cpu_count() or 1, 4)
    options = dict(candidate.options)
    ceiling = max(int(width * height * fps * _BITS_PER_PIXEL), _MIN_CEILING)
    if settings.bitrate is None:
        options |= candidate.quality
    if settings.bitrate is not None or not candidate.quality:
        context.bit_rate = settings.bitrate or ceiling
    elif candidate.family in ("vp8", "vp9"):
        context.bit_rate = ceiling  # libvpx: quality under a ceiling needs both
    if not jpeg:
        options["maxrate"] = str(settings.bitrate or ceiling)
        options["bufsize"] = str(settings.bitrate or ceiling)
    context.options = options


class VideoEncoder:
    """An open encoder of one picture size. Made by `open_encoder`; used by one thread.

    Attributes:
        name: FFmpeg's name of the encoder.
        width: pixels.
        height: pixels.
    """

    def __init__(
        self,
        context: VideoCodecContext,
        candidate: Candidate,
        settings: EncoderSettings,
        fps: float,
    ) -> None:
        self.name = candidate.name
        self.width, self.height = context.width, context.height
        self._context = context
        self._family = candidate.family
        self._gate = KeyGate(int(settings.gop_s * 1_000_000))
        self._annexb = AnnexBStream()
        self._sps: Sps | None = None
        self._waiting: dict[int, tuple[int, int]] = {}  # encoder pts: pts_us, capture_us
        self._clock = -1  # last pts given to the encoder; it must grow
        codec = {
            "h264": "avc1",
            "vp8": "vp8",
            "vp9": codec_strings.vp9_codec_string(0, self.width, self.height, fps),
            "mjpeg": "mjpeg",
        }[self._family]
        self._info = StreamInfo(codec, self.width, self.height, round(fps, 3))

    def request_key(self) -> None:
        """Make a key frame soon."""
        self._gate.request()

    def encode(self, picture: VideoFrame, pts_us: int, capture_us: int) -> Iterator[MediaFrame]:
        """Encode a picture of any size and format.

        Raises:
            PublishError: when the encoder fails.
        """
        picture = self._fit(picture)
        self._clock = max(self._clock + 1, pts_us)
        key = self._gate.due(pts_us)
        if key:
            self._gate.made(pts_us)
        picture.pts, picture.time_base = self._clock, _TIME_BASE
        # A decoded picture remembers what it was; left so, it would force that type here.
        picture.pict_type = PictureType.I if key else PictureType.NONE
        self._waiting[self._clock] = (pts_us, capture_us)
        try:
            packets = self._context.encode(picture)
        except av.error.FFmpegError as exc:
            raise PublishError(f"the encoder {self.name} failed: {exc.strerror}") from None
        yield from map(self._publishable, packets)

    def flush(self) -> Iterator[MediaFrame]:
        """The pictures that the encoder still holds; it takes no more afterwards."""
        with contextlib.suppress(av.error.FFmpegError):  # then it holds none
            yield from map(self._publishable, self._context.encode(None))

    def _fit(self, picture: VideoFrame) -> VideoFrame:
        from_rgb = picture.format.is_rgb
        jpeg = self._family == "mjpeg"
        if not jpeg and not from_rgb:
            return picture.reformat(self.width, self.height, "yuv420p")
        return picture.reformat(
            self.width,
            self.height,
            "yuvj420p" if jpeg else "yuv420p",
            src_colorspace=None if from_rgb else _source_matrix(picture),
            dst_colorspace="itu601" if jpeg else "itu709",
        )

    def _publishable(self, packet: Packet[VideoStream]) -> MediaFrame:
        payload, key = bytes(packet), packet.is_keyframe
        pts_us, capture_us = self._waiting.pop(packet.pts or 0, (packet.pts or 0, 0))
        for late in [pts for pts in self._waiting if pts < (packet.pts or 0)]:
            del self._waiting[late]  # the encoder dropped these
        if self._family == "mjpeg":
            key = True
        elif self._family == "h264":
            payload, key = self._annexb.push(payload)
            sps = self._annexb.sps
            if key and sps is not None and sps != self._sps:
                self._sps = sps
                self._info = StreamInfo(sps.codec, self.width, self.height, self._info.fps)
        return MediaFrame(self._info, payload, key, pts_us, capture_us)


def _source_matrix(picture: VideoFrame) -> str:
    return "itu709" if picture.colorspace == _BT709 else "itu601"
