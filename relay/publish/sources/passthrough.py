"""Packets that a browser can decode, published without encoding them again.

One class for each packaging. All have `push`: a demuxed packet and its place in time go in,
a `MediaFrame` comes out, payload in the form that the wire promises (see `h264`, `av1`).
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Protocol, TypeAlias

import av.error
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from relay.publish.bitstream import av1, codec_strings, h264
from relay.publish.bitstream.annexb import AnnexBStream
from relay.publish.bitstream.jpeg import has_huffman_tables
from relay.publish.model import MediaFrame, StreamInfo
from relay.publish.sources.source import Source
from relay.publish.sources.timeline import Stamp

__all__ = ["NeedsEncoding", "Passthrough", "passthrough_for"]

VideoPacket: TypeAlias = "Packet[VideoStream]"  # generic for type checkers only


class NeedsEncoding(Exception):
    """The stream turned out to be one that browsers cannot play as it is."""


class Passthrough(Protocol):
    """Turns packets into frames, one to one."""

    def push(self, packet: VideoPacket, stamp: Stamp, capture_us: int) -> MediaFrame:
        """
        Raises:
            NeedsEncoding: when passing through turned out not to work.
        """


def passthrough_for(source: Source) -> Passthrough | None:
    """How to publish this source without encoding, None when browsers cannot decode it."""
    context = source.video.codec_context
    info = StreamInfo("", context.width, context.height, round(source.fps, 3))
    extradata = context.extradata or b""
    pixels = context.pix_fmt or ""
    match source.codec:
        # Browsers decode H.264 in 8-bit 4:2:0 only; an unknown format gets its chance.
        case "h264" if pixels in ("yuv420p", "yuvj420p", ""):
            if h264.is_avcc(extradata):
                return _Avcc(info, extradata)
            return _AnnexB(info, extradata)
        case "vp8":
            return _AsIs(replace(info, codec="vp8"))
        case "vp9":
            return _AsIs(replace(info, codec=_vp9_string(context, source.fps)))
        case "av1":
            return _Av1(replace(info, codec=_av1_string(context, extradata)), extradata)
        case "mjpeg":
            return _Jpeg(replace(info, codec="mjpeg"), source.video)
    return None


class _IdrWatch:
    """Notices a stream whose random-access points are not IDR pictures.

    Broadcast encoders make such streams. FFmpeg calls those points key frames, browsers
    refuse to start at them.
    """

    def __init__(self) -> None:
        self._without = 0

    def see(self, *, idr: bool, said_key: bool) -> None:
        if idr:
            self._without = -1
        elif said_key and self._without >= 0:
            self._without += 1
            if self._without == 2:
                raise NeedsEncoding("it has no IDR pictures, where a browser could begin")


class _Avcc:
    """H.264 with lengths in front of its NAL units, as in MP4, Matroska and RTMP."""

    def __init__(self, info: StreamInfo, avcc: bytes) -> None:
        self._info = replace(info, codec=h264.avcc_codec_string(avcc), init=avcc)
        self._watch = _IdrWatch()

    def push(self, packet: VideoPacket, stamp: Stamp, capture_us: int) -> MediaFrame:
        if packet.has_sidedata("new_extradata"):
            avcc = bytes(packet.get_sidedata("new_extradata"))
            if h264.is_avcc(avcc) and avcc != self._info.init:
                codec = h264.avcc_codec_string(avcc)
                self._info = replace(self._info, codec=codec, init=avcc)
        payload = bytes(packet)
        key = h264.avcc_has_idr(payload, self._info.init)
        self._watch.see(idr=key, said_key=packet.is_keyframe)
        return MediaFrame(self._info, payload, key, stamp.pts_us, capture_us)


class _AnnexB:
    """H.264 with start codes, as in MPEG-TS, RTSP and raw files."""

    def __init__(self, info: StreamInfo, extradata: bytes) -> None:
        self._info = info
        self._stream = AnnexBStream(extradata)
        self._sps: h264.Sps | None = None
        self._watch = _IdrWatch()

    def push(self, packet: VideoPacket, stamp: Stamp, capture_us: int) -> MediaFrame:
        payload, key = self._stream.push(bytes(packet))
        self._watch.see(idr=key, said_key=packet.is_keyframe)
        sps = self._stream.sps
        if key and sps is not None and sps != self._sps:
            self._sps = sps
            self._info = replace(self._info, codec=sps.codec, width=sps.width, height=sps.height)
        return MediaFrame(self._info, payload, key, stamp.pts_us, capture_us)


class _AsIs:
    """VP8 and VP9: every packet is what a decoder takes."""

    def __init__(self, info: StreamInfo) -> None:
        self._info = info

    def push(self, packet: VideoPacket, stamp: Stamp, capture_us: int) -> MediaFrame:
        key = packet.is_keyframe
        return MediaFrame(self._info, bytes(packet), key, stamp.pts_us, capture_us)


class _Av1:
    """AV1: key frames get the sequence header that a file may keep apart."""

    def __init__(self, info: StreamInfo, extradata: bytes) -> None:
        self._info = info
        self._config = av1.config_obus(extradata)

    def push(self, packet: VideoPacket, stamp: Stamp, capture_us: int) -> MediaFrame:
        payload, key = bytes(packet), packet.is_keyframe
        if key:
            payload = av1.with_sequence_header(payload, self._config)
        return MediaFrame(self._info, payload, key, stamp.pts_us, capture_us)


class _Jpeg:
    """Motion JPEG; cameras leave the standard Huffman tables out, browsers want them."""

    def __init__(self, info: StreamInfo, video: VideoStream) -> None:
        self._info = info
        self._filter = BitStreamFilterContext("mjpeg2jpeg", video)

    def push(self, packet: VideoPacket, stamp: Stamp, capture_us: int) -> MediaFrame:
        payload = bytes(packet)
        if not has_huffman_tables(payload):
            with contextlib.suppress(av.error.FFmpegError):  # a damaged picture stays as it is
                payload = b"".join(map(bytes, self._filter.filter(packet))) or payload
        return MediaFrame(self._info, payload, True, stamp.pts_us, capture_us)


def _bit_depth(context: VideoCodecContext) -> int:
    pixels = context.pix_fmt or ""
    return 12 if "12" in pixels else 10 if "10" in pixels else 8


def _vp9_string(context: VideoCodecContext, fps: float) -> str:
    digits = "".join(filter(str.isdigit, context.profile or ""))  # "Profile 2"
    return codec_strings.vp9_codec_string(
        int(digits or 0), context.width, context.height, fps, _bit_depth(context)
    )


def _av1_string(context: VideoCodecContext, extradata: bytes) -> str:
    try:
        return codec_strings.av1c_codec_string(extradata)
    except ValueError:
        profiles = {"Main": 0, "High": 1, "Professional": 2}
        profile = profiles.get(context.profile or "Main", 0)
        level = context.level if 0 <= context.level < 32 else 8
        return codec_strings.av1_codec_string(profile, level, 0, _bit_depth(context))
