"""Encoders: one picture in, one frame out, key frames when wanted, a fallback for each."""

from __future__ import annotations

import av
import av.error
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from relay.publish.errors import PublishError
from relay.publish.model import MediaFrame
from relay.publish.sources.encoder import CHAINS, EncoderSettings, VideoEncoder, open_encoder
from tests.relay.publish.decoding import decode

SIZE = (320, 240)
STEP_US = 40_000


def picture(number: int, size: tuple[int, int] = SIZE, colour: object = None) -> VideoFrame:
    array = np.full((size[1], size[0], 3), colour or (number * 5 % 256, 80, 160), np.uint8)
    return av.VideoFrame.from_ndarray(array, "rgb24")


def encode(encoder: VideoEncoder, numbers: range) -> list[MediaFrame]:
    return [
        frame
        for number in numbers
        for frame in encoder.encode(picture(number), number * STEP_US, 10**15 + number)
    ]


def keys(frames: list[MediaFrame]) -> list[int]:
    return [frame.pts_us // STEP_US for frame in frames if frame.key]


@pytest.mark.parametrize(
    ("codec", "string"),
    [("h264", "avc1.64"), ("vp8", "vp8"), ("vp9", "vp09.00."), ("mjpeg", "mjpeg")],
)
class TestEveryCodec:
    def test_one_in_one_out_and_decodable(self, codec: str, string: str) -> None:
        encoder = open_encoder(EncoderSettings(codec), *SIZE, 25)
        frames = encode(encoder, range(10))
        assert [frame.pts_us for frame in frames] == [n * STEP_US for n in range(10)]
        assert [frame.capture_us for frame in frames] == [10**15 + n for n in range(10)]
        assert frames[0].key
        assert frames[0].info.codec.startswith(string)
        assert (frames[0].info.width, frames[0].info.height) == SIZE
        assert frames[0].info.init == b""
        assert len(decode(frames)) == 10

    def test_the_description_stays_one_object(self, codec: str, string: str) -> None:
        frames = encode(open_encoder(EncoderSettings(codec, gop_s=0.2), *SIZE, 25), range(20))
        assert len({id(frame.info) for frame in frames}) == 1

    def test_colours_survive(self, codec: str, string: str) -> None:
        encoder = open_encoder(EncoderSettings(codec, bitrate=4_000_000), *SIZE, 25)
        frames = list(encoder.encode(picture(0, colour=(200, 40, 90)), 0, 0))
        (shown,) = decode(frames)
        matrix = "itu601" if codec == "mjpeg" else "itu709"
        rgb = shown.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
        np.testing.assert_allclose(rgb[120, 160].astype(int), (200, 40, 90), atol=6)


@pytest.mark.parametrize("codec", ["h264", "vp8", "vp9"])
class TestKeyFrames:
    def test_a_group_of_pictures_is_bounded(self, codec: str) -> None:
        encoder = open_encoder(EncoderSettings(codec, gop_s=0.4), *SIZE, 25)
        assert keys(encode(encoder, range(30))) == [0, 10, 20]

    def test_a_request_is_answered(self, codec: str) -> None:
        encoder = open_encoder(EncoderSettings(codec, gop_s=60), *SIZE, 25)
        frames = encode(encoder, range(20))
        encoder.request_key()
        frames += encode(encoder, range(20, 25))
        assert keys(frames) == [0, 20]
        assert len(decode(frames[20:])) == 5

    def test_requests_are_limited_to_two_a_second(self, codec: str) -> None:
        encoder = open_encoder(EncoderSettings(codec, gop_s=60), *SIZE, 25)
        frames: list[MediaFrame] = []
        for number in range(30):
            encoder.request_key()
            frames += encode(encoder, range(number, number + 1))
        assert keys(frames) == [0, 13, 26]


class TestInput:
    def test_other_sizes_are_scaled(self) -> None:
        encoder = open_encoder(EncoderSettings(), *SIZE, 25)
        (frame,) = encoder.encode(picture(0, (640, 360)), 0, 0)
        (shown,) = decode([frame])
        assert (shown.width, shown.height) == SIZE

    def test_the_type_of_a_decoded_picture_is_forgotten(self) -> None:
        encoder = open_encoder(EncoderSettings(gop_s=60), *SIZE, 25)
        frames: list[MediaFrame] = []
        for number in range(5):
            shown = picture(number).reformat(format="yuv420p")
            shown.pict_type = PictureType.I
            frames += encoder.encode(shown, number * STEP_US, 0)
        assert keys(frames) == [0]

    def test_time_stamps_that_do_not_grow_are_no_error(self) -> None:
        encoder = open_encoder(EncoderSettings(), *SIZE, 25)
        frames = [frame for _ in range(3) for frame in encoder.encode(picture(0), 0, 7)]
        assert [(frame.pts_us, frame.capture_us) for frame in frames] == [(0, 7)] * 3


class TestFallback:
    def opener(self, *missing: str) -> tuple[list[str], object]:
        tried: list[str] = []

        def create(name: str) -> VideoCodecContext:
            tried.append(name)
            if name in missing or name.startswith("h264_"):
                raise av.error.EncoderNotFoundError(0, "Encoder not found")
            made = av.CodecContext.create(name, "w")
            assert isinstance(made, VideoCodecContext)
            return made

        return tried, create

    def test_libx264_is_the_first_choice(self) -> None:
        assert open_encoder(EncoderSettings(), *SIZE, 25).name == "libx264"

    @pytest.mark.parametrize(
        ("missing", "used"),
        [
            (("libx264", "libopenh264"), "libvpx"),
            (("libx264", "libopenh264", "libvpx"), "libvpx-vp9"),
            (("libx264", "libopenh264", "libvpx", "libvpx-vp9"), "mjpeg"),
        ],
    )
    def test_the_next_one_that_works(self, missing: tuple[str, ...], used: str) -> None:
        tried, create = self.opener(*missing)
        encoder = open_encoder(EncoderSettings(), *SIZE, 25, create)  # type: ignore[arg-type]
        assert encoder.name == used
        assert tried[0] == "libx264"
        assert len(decode(encode(encoder, range(3)))) == 3

    def test_none_works(self) -> None:
        _, create = self.opener("libvpx")
        with pytest.raises(PublishError, match=r"no encoder for --codec vp8 .*libvpx.*mjpeg"):
            open_encoder(EncoderSettings("vp8"), *SIZE, 25, create)  # type: ignore[arg-type]

    def test_every_choice_of_the_command_has_a_chain(self) -> None:
        from relay.publish.options import CODECS

        assert set(CHAINS) == set(CODECS)


def test_a_bitrate_is_kept() -> None:
    encoder = open_encoder(EncoderSettings("h264", bitrate=200_000, gop_s=1), 640, 360, 25)
    noise = np.random.default_rng(1)
    size = 0
    for number in range(75):
        array = noise.integers(0, 256, (360, 640, 3), np.uint8)
        shown = av.VideoFrame.from_ndarray(array, "rgb24")
        size += sum(len(f.payload) for f in encoder.encode(shown, number * STEP_US, 0))
    # Pure noise is the worst that can be asked for: without a limit this is 100 times more.
    assert size * 8 / 3 < 200_000 * 8
