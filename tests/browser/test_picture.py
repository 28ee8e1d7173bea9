"""What is on the canvas is the very frame that was published, at the rate of its source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from relay.publish.pattern.strip import read_frame_number
from tests.browser.conftest import OpenPage, Publish
from tests.browser.pictures import GOOD, clip_picture, luma_of, psnr
from tests.browser.player import Player
from tests.e2e.conftest import StartRelay
from tests.media import CLIP_FPS, CLIP_FRAMES, clip_path

pytestmark = pytest.mark.browser

WINDOW: Final = 5 * CLIP_FPS
"""Pictures over which a rate is measured."""
APART: Final = 20
"""Pictures between two looks at a canvas."""


def test_grid_and_watch_pages_show_the_very_frames(
    start_relay: StartRelay, publish: Publish, open_page: OpenPage
) -> None:
    """Three pages, two ways of publishing: the clip's rate, and the clip's pictures."""
    relay = start_relay()
    url = f"http://127.0.0.1:{relay.port}"
    publish(str(clip_path()), "local", "--loop")
    publish(str(clip_path()), "remote", "--loop", "--to", f"ws://127.0.0.1:{relay.port}")
    grid = open_page(f"{url}/")
    players = [
        Player(grid, "local"),
        Player(grid, "remote"),
        Player(open_page(f"{url}/watch/local")),
        Player(open_page(f"{url}/watch/remote")),
    ]
    for player in players:
        player.wait_live()
    check_rates(players, CLIP_FPS)
    for player in players:
        check_pictures(player)
    for player in players:
        stats = player.stats()
        assert (stats["codec"], stats["width"], stats["height"]) == ("avc1.4d401f", 1280, 720)
        assert (stats["state"], stats["reconnects"]) == ("live", 0)
        assert stats["firstFrameMs"] > 0
    kinds = {name: each["publisher"]["kind"] for name, each in relay.streams().items()}
    assert kinds == {"local": "shm", "remote": "ws"}
    assert not relay.errors()


def check_rates(players: Sequence[Player], fps: float) -> None:
    """All of them decode about so many pictures in a second."""
    begin = [player.mark() for player in players]
    rates = []
    for player, mark in zip(players, begin, strict=True):
        player.wait(f"s.decoded >= {mark.decoded + WINDOW}")
        rates.append(player.mark().rate_since(mark))
    complaint = f"{rates}; {[player.stats() for player in players]}"
    assert all(abs(rate - fps) <= fps / 5 for rate in rates), complaint


def check_pictures(player: Player) -> None:
    """Two moments, so that neither a frozen picture nor a black or broken one passes."""
    first = player.capture()
    player.wait(f"s.seq >= {first.seq + APART} && (s.seq - {first.seq}) % {CLIP_FRAMES}")
    second = player.capture()
    for here, elsewhere in ((first, second), (second, first)):
        likeness = psnr(here.picture, clip_picture(here.seq))
        assert likeness >= GOOD, f"frame {here.seq}: {likeness:.1f} dB"
        assert psnr(here.picture, clip_picture(elsewhere.seq)) < likeness


def test_frame_number_in_the_demo_picture(start_relay: StartRelay, open_page: OpenPage) -> None:
    """``--demo``: the number that is drawn into a frame is the number of that frame."""
    relay = start_relay("--demo")
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/demo"))
    player.wait_live()
    numbers = []
    for _ in range(3):
        capture = player.capture()
        number = read_frame_number(luma_of(capture.picture))
        assert number == capture.seq
        numbers.append(number)
        player.wait(f"s.seq > {capture.seq}")
    assert numbers == sorted(set(numbers))
