"""The player's rules, against a relay that does what a real one does rarely."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from typing import Final

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext

from tests.browser.fake_relay import INSECURE, FakeRelay
from tests.browser.pictures import GOOD, clip_picture, psnr
from tests.e2e.waiting import wait_until
from tests.media import CLIP_CODEC, clip_path

pytestmark = pytest.mark.browser

LAG: Final = 0.5
"""Seconds for which the player lets frames wait for its decoder."""

STALLED_DECODER: Final = """
window.VideoDecoder = class {
  static isConfigSupported = async () => ({ supported: true });
  decodeQueueSize = 1000;
  configure() {}
  close() {}
};
"""


WAITS: Final = """
Math.random = () => 1;
window.waits = [];
const wait = window.setTimeout;
window.setTimeout = (act, delay) => {
  if (delay < 250) return wait(act, delay); // the test's own
  waits.push(delay);
  return wait(act, 0);
};
"""
"""All waiting is the longest that chance allows; it is written down, and over at once."""


@dataclass(frozen=True, slots=True)
class Clip:
    """The clip as a publisher sends it; the first packet alone is a key frame."""

    init: bytes
    packets: list[bytes]


@pytest.fixture(scope="module")
def clip() -> Clip:
    """All of the clip's packets."""
    import av

    with av.open(str(clip_path())) as opened:
        init = opened.streams.video[0].codec_context.extradata
        return Clip(init or b"", [bytes(each) for each in opened.demux(video=0) if each.size])


def _play(relay: FakeRelay, clip: Clip, frames: int) -> None:
    relay.hello(CLIP_CODEC, clip.init)
    for seq in range(frames):
        relay.frame(seq, clip.packets[seq], key=seq == 0)
    relay.player.wait(f"s.state === 'live' && s.decoded === {frames}")


def _until_key_is_wanted(relay: FakeRelay, clip: Clip, seqs: itertools.count[int]) -> None:
    """Go on with delta frames; a player asks at most once a second."""

    def asked() -> bool:
        relay.frame(next(seqs), clip.packets[1], key=False)
        relay.player.stats()
        return relay.count("key") > 0

    wait_until(asked, "a request for a key frame")


def test_gap_freezes_the_picture_until_a_key_frame(context: BrowserContext, clip: Clip) -> None:
    """A delta frame without its predecessor is not shown; a key frame is asked for."""
    relay = FakeRelay(context)
    _play(relay, clip, 10)
    seqs = itertools.count(11)
    _until_key_is_wanted(relay, clip, seqs)
    stats = relay.player.stats()
    assert (stats["decoded"], stats["seq"]) == (10, 9)
    assert stats["skipsByCause"]["network"] == 1
    key = next(seqs)
    relay.frame(key, clip.packets[0], key=True)
    stats = relay.player.wait(f"s.seq === {key}")
    assert (stats["decoded"], stats["skips"], stats["state"]) == (11, 1, "live")
    assert psnr(relay.player.capture().picture, clip_picture(0)) >= GOOD


def test_broken_frame_costs_the_pictures_up_to_a_key_frame(
    context: BrowserContext, clip: Clip
) -> None:
    """The decoder is made anew, and the player asks for what it needs."""
    relay = FakeRelay(context)
    _play(relay, clip, 5)
    relay.frame(5, b"\xff" * 200, key=False)
    relay.player.wait("s.skipsByCause.error > 0")
    seqs = itertools.count(6)
    _until_key_is_wanted(relay, clip, seqs)
    key = next(seqs)
    relay.frame(key, clip.packets[0], key=True)
    stats = relay.player.wait(f"s.seq === {key}")
    assert (stats["state"], stats["reconnects"]) == ("live", 0)
    made, closed = relay.player.decoders()
    assert made == 2
    assert closed <= 1  # a decoder that failed has closed itself


def test_slow_decoder_jumps_to_the_newest_key_frame(context: BrowserContext, clip: Clip) -> None:
    """Frames that waited for too long are dropped at once when a key frame comes."""
    context.add_init_script(STALLED_DECODER)
    relay = FakeRelay(context)
    relay.hello(CLIP_CODEC, clip.init)
    relay.frame(0, clip.packets[0], key=True)
    relay.player.wait("s.queued === 1")
    began = relay.player.mark().at
    seqs = itertools.count(1)

    def waited() -> bool:
        relay.frame(next(seqs), clip.packets[1], key=False)
        return relay.player.mark().at - began > LAG

    wait_until(waited, "frames that are too old")
    sent = next(seqs)
    before = relay.player.wait(f"s.queued === {sent}")
    assert (before["skips"], before["dropped"]) == (0, 0)
    relay.frame(sent, clip.packets[0], key=True)
    stats = relay.player.wait("s.queued === 1")
    assert stats["skipsByCause"]["decoder"] == 1
    assert stats["dropped"] == sent


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (1012, "", "the relay restarts"),
        (1011, "", "connection lost"),
        (1012, "worker 2 is replaced", "worker 2 is replaced"),
    ],
)
def test_closed_by_the_relay_it_comes_back(
    context: BrowserContext, clip: Clip, code: int, reason: str, said: str
) -> None:
    """Whatever the code says, the stream goes on in a new connection."""
    relay = FakeRelay(context)
    _play(relay, clip, 3)
    relay.sockets[-1].close(code=code, reason=reason)
    relay.wait_dialled(2)
    relay.hello(CLIP_CODEC, clip.init)
    relay.frame(700, clip.packets[0], key=True)
    stats = relay.player.wait("s.seq === 700 && s.state === 'live'")
    assert (stats["reconnects"], stats["skips"]) == (1, 0)
    seen = relay.player.page.evaluate("seen.states")
    assert [each for each in seen if each[0] == "reconnecting"] == [["reconnecting", said]]


@pytest.mark.parametrize(
    ("pictures", "waits"), [(1, [250, 250, 250, 250]), (0, [250, 500, 1000, 2000])]
)
def test_a_picture_makes_up_for_earlier_failures(
    context: BrowserContext, clip: Clip, pictures: int, waits: list[int]
) -> None:
    """However often a worker dies, its viewers are back at once; a useless relay is spared."""
    context.add_init_script(WAITS)
    relay = FakeRelay(context)
    for dialled in range(1, len(waits) + 1):
        relay.wait_dialled(dialled)
        relay.hello(CLIP_CODEC, clip.init)
        if pictures:
            relay.frame(0, clip.packets[0], key=True)
            relay.player.wait(f"s.state === 'live' && s.painted === {dialled}")
        else:
            relay.player.wait("s.state === 'connecting' && s.codec")
        relay.sockets[-1].close(code=1011)
        relay.player.wait(f"s.state !== 'live' && waits.length === {dialled}")
    assert relay.player.page.evaluate("waits") == waits


def test_busy_relay_is_left_in_peace(context: BrowserContext, clip: Clip) -> None:
    """1013: it says so, and counts the seconds down."""
    relay = FakeRelay(context)
    relay.sockets[-1].close(code=1013)
    relay.player.wait("s.state === 'reconnecting'")
    relay.player.page.get_by_text("The relay is busy", exact=True).wait_for()
    relay.player.page.get_by_text("Reconnecting in").wait_for()
    relay.wait_dialled(2)
    _play(relay, clip, 1)


def test_unreadable_message_ends_the_connection(context: BrowserContext, clip: Clip) -> None:
    """Bytes that are no msgpack come from no relay of ours."""
    relay = FakeRelay(context)
    _play(relay, clip, 3)
    relay.send(b"\xc1\x00")
    relay.wait_dialled(2)
    assert "reconnecting" in relay.player.states()
    _play_again(relay, clip)


def _play_again(relay: FakeRelay, clip: Clip) -> None:
    relay.hello(CLIP_CODEC, clip.init)
    relay.frame(0, clip.packets[0], key=True)
    relay.player.wait("s.state === 'live'")


def test_new_publisher_with_another_codec(context: BrowserContext, clip: Clip) -> None:
    """A second hello replaces the decoder; numbers start again where they like."""
    relay = FakeRelay(context)
    _play(relay, clip, 3)
    relay.tell("ended", stream="cam0", reason="the publisher left")
    relay.player.wait("s.state === 'ended'")
    assert "The publisher left." in relay.player.words()
    relay.tell("live", stream="cam0", epoch=2)
    relay.hello("mjpeg", epoch=2)
    relay.frame(0, _jpeg(), key=True)
    stats = relay.player.wait("s.codec === 'mjpeg' && s.state === 'live'")
    assert (stats["width"], stats["height"], stats["epoch"]) == (64, 48, 2)
    assert (stats["skips"], stats["reconnects"]) == (0, 0)


def test_it_answers_the_relays_clock(context: BrowserContext) -> None:
    """A ping's time comes back as it was, with the time of this side."""
    relay = FakeRelay(context)
    relay.tell("ping", t0=1_795_417_031_698_900)
    relay.wait_said("pong")
    (pong,) = (each for each in relay.said if each["type"] == "pong")
    assert pong["t0"] == 1_795_417_031_698_900
    assert pong["t1"] > 1_500_000_000_000_000


def test_page_that_is_not_secure_says_so(context: BrowserContext) -> None:
    """There browsers have no WebCodecs, and VP8 goes no other way; Motion JPEG plays."""
    relay = FakeRelay(context, INSECURE)
    relay.hello("vp8")
    stats = relay.player.wait("s.state === 'error'")
    assert stats["reason"].startswith("Here VP8 plays on secure pages only")
    relay.wait_said("pause")
    relay.hello("mjpeg", epoch=2)
    relay.wait_said("resume")
    relay.frame(0, _jpeg(), key=True)
    relay.player.wait("s.state === 'live'")


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 60, 20)).save(file, "JPEG")
    return file.getvalue()
