"""Pages over plain http from another host: no WebCodecs, and the same pictures all the same."""

from __future__ import annotations

import itertools
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page

from relay.publish.pattern.strip import read_frame_number
from tests.browser.conftest import ELSEWHERE, OpenPage, Publish
from tests.browser.fake_relay import INSECURE, FakeRelay, open_site
from tests.browser.pictures import luma_of
from tests.browser.player import Player
from tests.browser.test_picture import WINDOW, check_pictures
from tests.e2e.relay_process import RelayProcess
from tests.media import CLIP_FPS, clip_path

pytestmark = pytest.mark.browser

SIZE: Final = (320, 240)
NEAR: Final = "s.latencyMs < 500"
LIVE: Final = "s.state === 'live' && s.painted > 5 && s.queued === 0"


def test_the_very_frames(relay: RelayProcess, publish: Publish, open_page: OpenPage) -> None:
    """Of a file, whose pictures come out of order, and of a live encoder."""
    publish(str(clip_path()), "clip", "--loop")
    publish("demo", "demo", "--size", "640x360")
    site = f"http://{ELSEWHERE}:{relay.port}/watch"
    clip, demo = (Player(open_page(f"{site}/{name}")) for name in ("clip", "demo"))
    assert clip.page.evaluate("[isSecureContext, typeof VideoDecoder]") == [False, "undefined"]
    for player in (clip, demo):
        player.wait(LIVE)
    _check_pace(clip)
    check_pictures(clip)
    numbers = []
    for _ in range(3):
        capture = demo.capture()
        assert read_frame_number(luma_of(capture.picture)) == capture.seq
        numbers.append(capture.seq)
        demo.wait(f"s.seq > {capture.seq}")
    assert numbers == sorted(set(numbers))
    for player in (clip, demo):
        stats = player.stats()
        assert (stats["state"], stats["skips"], stats["reconnects"]) == ("live", 0, 0)
    assert not relay.errors()


def _check_pace(player: Player) -> None:
    """It shows the stream's newest frames, second after second."""
    player.wait(NEAR)
    begin = player.mark()
    player.wait(f"{NEAR} && s.seq >= {begin.seq + WINDOW}")
    end = player.mark()
    pace = (end.seq - begin.seq) / (end.at - begin.at)
    assert abs(pace - CLIP_FPS) <= CLIP_FPS / 5


def test_late_viewer_begins_with_the_newest_picture(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """Though all pictures since the last key frame, seconds ago, have to be decoded."""
    publish("demo", "demo", "--size", "320x180", "--gop", "60")
    url = f"http://{ELSEWHERE}:{relay.port}/watch/demo"
    first = Player(open_page(url))
    first.wait("s.seq > 90")
    late = Player(open_page(url))
    late.wait(f"{LIVE} && s.latencyMs < 1000")
    assert late.stats()["painted"] < late.stats()["seq"] - 60
    assert late.stats()["skips"] == 0


@pytest.mark.parametrize(
    ("encoder", "codec", "options"),
    [
        ("libx264", "avc1.42c00d", {"profile": "baseline", "tune": "zerolatency"}),
        ("libvpx-vp9", "vp09.00.11.08", {"deadline": "realtime", "lag-in-frames": "0"}),
        ("libsvtav1", "av01.0.00M.08", {"preset": "12", "svtav1-params": "pred-struct=1"}),
    ],
)
def test_streams_without_a_description(
    context: BrowserContext, encoder: str, codec: str, options: dict[str, str]
) -> None:
    """What the decoder must know is in the key frames, or in the codec string."""
    # Elsewhere: for root, SVT-AV1 puts the process that uses it before all others (SCHED_FIFO),
    # and everything that it starts from then on.
    with ProcessPoolExecutor(1, get_context("spawn")) as child:
        packets = child.submit(_encode, encoder, options, 12).result()
    relay = FakeRelay(context, INSECURE)
    for epoch in (1, 2):
        relay.hello(codec, epoch=epoch, size=SIZE)
        for seq, (data, key) in enumerate(packets):
            relay.frame(seq, data, key=key)
            if seq == 0:
                # On a busy machine a decoder takes long to start; what waits meanwhile is late.
                relay.player.wait(f"s.state === 'live' && s.seq === 0 && s.epoch === {epoch}")
        stats = relay.player.wait(f"s.state === 'live' && s.seq === 11 && s.epoch === {epoch}")
    assert (stats["width"], stats["height"], stats["skips"]) == (*SIZE, 0)
    left, right = np.split(relay.player.capture().picture.mean(axis=2), 2, axis=1)
    assert abs(left.mean() - 40) < 10
    assert abs(right.mean() - 200) < 10


def _encode(encoder: str, options: dict[str, str], count: int) -> list[tuple[bytes, bool]]:
    """Pictures of two grey halves, the left one dark."""
    import av

    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height = SIZE
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, 25)
    context.options = options
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[:, : SIZE[0] // 2] = 40
    picture[:, SIZE[0] // 2 :] = 200
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        packets += context.encode(frame)
    return [(bytes(packet), packet.is_keyframe) for packet in packets + context.encode()]


def test_damage_costs_the_pictures_up_to_a_key_frame(context: BrowserContext) -> None:
    packets = _encode("libx264", {"profile": "baseline", "tune": "zerolatency"}, 3)
    relay = FakeRelay(context, INSECURE)
    relay.hello("avc1.42c00d", size=SIZE)
    for _ in range(2):
        relay.frame(0, packets[0][0], key=True)
        relay.player.wait("s.state === 'live' && s.seq === 0")
        relay.frame(1, b"\0\0\0\1\x65" + b"\xff" * 200, key=True)
        relay.player.wait("s.skipsByCause.error > 0")
        relay.frame(2, packets[0][0], key=True)
        relay.player.wait("s.state === 'live' && s.seq === 2")
        relay.hello("avc1.42c00d", size=SIZE, epoch=2)


TIMELINE: Final = """
async ([fps, frames]) => {
  const { Timeline } = await import("/player/timeline.js");
  const timeline = new Timeline(fps);
  return frames.map(([pts, key]) => timeline.place(pts, key));
}
"""


def _place(page: Page, fps: float, frames: list[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Decoding and presentation times, milliseconds."""
    placed = page.evaluate(TIMELINE, [fps, [[pts * 1000, key] for pts, key in frames]])
    return [(round(p["time"] / 1000), round((p["time"] + p["offset"]) / 1000)) for p in placed]


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty page beside the player's files."""
    return open_site(context)


def test_timeline_of_pictures_out_of_order(page: Page) -> None:
    pts = [0, 120, 40, 80, 240, 160, 200]
    placed = _place(page, 25, [(1000 + at, at == 0) for at in pts])
    assert [shown for _, shown in placed] == pts
    assert [decoded for decoded, _ in placed] == [40 * number for number in range(7)]


def test_timeline_learns_the_rate(page: Page) -> None:
    placed = _place(page, 0, [(100 * number, number == 0) for number in range(40)])
    steps = [after[0] - before[0] for before, after in itertools.pairwise(placed[20:])]
    assert set(steps) == {100}


@pytest.mark.parametrize("jump", [-3_600_000, 5_000, 3_600_000])
@pytest.mark.parametrize("key", [False, True])
def test_timeline_makes_a_jump_a_short_step(page: Page, jump: int, key: bool) -> None:
    """Forward or back, at a key frame or not: the next picture follows the last."""
    frames = [(40 * number, number == 0) for number in range(30)]
    frames += [(40 * number + jump, key and number == 30) for number in range(30, 60)]
    placed = _place(page, 25, frames)
    steps = [after[1] - before[1] for before, after in itertools.pairwise(placed)]
    assert all(20 <= step <= 80 for step in steps), steps
