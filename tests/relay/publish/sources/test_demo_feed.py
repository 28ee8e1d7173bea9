"""The test pattern as a stream: what a viewer decodes is what was drawn."""

from __future__ import annotations

from itertools import islice

import pytest

from relay.publish.model import MediaFrame
from relay.publish.pattern import read_frame_number
from relay.publish.sources.demo_feed import DemoFeed
from relay.publish.sources.encoder import EncoderSettings
from relay.publish.sources.pacer import Pacer
from tests.relay.publish.decoding import decode, luma
from tests.relay.publish.fakes import FakeClock


def run(
    count: int, codec: str = "auto", size: tuple[int, int] = (640, 360)
) -> tuple[list[MediaFrame], FakeClock]:
    clock = FakeClock()
    feed = DemoFeed(EncoderSettings(codec), "demo", size, 30.0, Pacer(clock.sleep, clock))
    return list(islice(feed.frames(), count)), clock


@pytest.mark.parametrize("codec", ["h264", "vp8", "vp9", "mjpeg"])
def test_the_frame_number_can_be_read_from_the_decoded_picture(codec: str) -> None:
    frames, _ = run(20, codec)
    numbers = [read_frame_number(luma(shown)) for shown in decode(frames)]
    assert numbers == list(range(20))


def test_a_small_picture_works_too() -> None:
    frames, _ = run(3, size=(128, 96))
    assert [read_frame_number(luma(shown)) for shown in decode(frames)] == [0, 1, 2]


def test_it_is_paced_and_stamped() -> None:
    frames, clock = run(61)
    assert [frame.pts_us for frame in frames[:4]] == [0, 33_333, 66_667, 100_000]
    assert sum(clock.slept) == pytest.approx(2.0)
    assert [index for index, frame in enumerate(frames) if frame.key] == [0, 60]


def test_a_key_frame_on_request() -> None:
    clock = FakeClock()
    feed = DemoFeed(EncoderSettings(), "demo", (320, 180), 30.0, Pacer(clock.sleep, clock))
    frames = feed.frames()
    for _ in range(20):
        next(frames)
    feed.request_key()
    assert next(frames).key


def test_a_stop_ends_it() -> None:
    clock = FakeClock()
    clock.stopped = True
    feed = DemoFeed(EncoderSettings(), "demo", (320, 180), 30.0, Pacer(clock.sleep, clock))
    assert list(feed.frames()) == []
