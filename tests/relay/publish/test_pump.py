"""The pump: order, the first key frame, descriptions, limits."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from relay.publish.errors import Refused
from relay.publish.model import MediaFrame
from relay.publish.pump import pump
from relay.publish.tally import Tally
from tests.relay.publish.fakes import INFO, FakeFeed, FakeSink, frame, gop


def run(feed: FakeFeed, sink: FakeSink, **limits: int) -> Tally:
    tally = Tally()
    pump(feed, sink, tally, threading.Event(), **limits)
    return tally


def test_frames_go_through_in_order() -> None:
    sink = FakeSink()
    frames = gop(0, 5) + gop(5, 5)
    tally = run(FakeFeed(frames), sink)
    assert sink.written == frames
    assert (tally.frames, tally.key_frames, tally.bytes) == (10, 2, 100)


def test_nothing_goes_before_the_first_key_frame() -> None:
    sink = FakeSink()
    run(FakeFeed([frame(0), frame(1), *gop(2, 2)]), sink)
    assert [written.pts_us for written in sink.written] == [80_000, 120_000]


def test_the_sink_is_told_of_each_new_description_before_its_frame() -> None:
    other = replace(INFO, width=640)
    sink = FakeSink()
    run(FakeFeed(gop(0, 2) + gop(2, 2, other)), sink)
    assert sink.opened == [INFO, other]


@pytest.mark.parametrize(("live", "waits"), [(False, 1), (True, 0)])
def test_only_a_recording_waits_for_the_relay(live: bool, waits: int) -> None:
    sink = FakeSink()
    run(FakeFeed(gop(0, 3), live=live), sink)
    assert sink.waits == waits


def test_a_key_request_reaches_the_feed() -> None:
    sink, feed = FakeSink(), FakeFeed(gop(0, 3))
    sink.key_requested = True
    run(feed, sink)
    assert feed.key_requests == 3


def test_frame_limit() -> None:
    sink = FakeSink()
    run(FakeFeed(gop(0, 9)), sink, max_frames=4)
    assert len(sink.written) == 4


def test_duration_limit_counts_from_the_first_frame_sent() -> None:
    sink = FakeSink()
    run(FakeFeed([frame(0), *gop(1, 20)]), sink, max_us=400_000)
    assert len(sink.written) == 10


def test_a_stop_ends_it_before_the_next_frame() -> None:
    stop, sink = threading.Event(), FakeSink()

    def frames() -> list[MediaFrame]:
        stop.set()
        return gop(0, 3)

    feed = FakeFeed(made for made in frames())
    pump(feed, sink, Tally(), stop)
    assert sink.written == []


def test_a_refusal_ends_it() -> None:
    class Refusing(FakeSink):
        def write(self, frame: MediaFrame) -> None:
            raise Refused("taken over")

    with pytest.raises(Refused, match="taken over"):
        run(FakeFeed(gop(0, 3)), Refusing())
