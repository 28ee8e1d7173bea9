"""From end to end: published from Linux, relayed by Windows, watched in a real browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from relay.publish.pattern.strip import read_frame_number
from tests.browser.conftest import OpenPage, open_chromium
from tests.browser.conftest import context as context
from tests.browser.conftest import open_page as open_page
from tests.browser.pictures import luma_of
from tests.browser.player import Player
from tests.browser.publishing import PublishCommand
from tests.browser.test_picture import check_pictures, check_rates
from tests.e2e.waiting import wait_until
from tests.media import CLIP_FPS, clip_path
from tests.windows.conftest import StartRelay
from tests.windows.windows_relay import WindowsRelay

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(sys.platform == "win32", reason="optional: publisher and browser on Linux"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for this file, and none beside the others: they have loops of their own."""
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture
def relay(start_relay: StartRelay) -> WindowsRelay:
    """A relay with three workers, and the demo publisher of its own."""
    return start_relay("--demo")


@pytest.fixture
def clip(relay: WindowsRelay) -> Iterator[str]:
    """A stream of the clip, published over WebSocket by this system's ``relay-publish``."""
    to = f"ws://127.0.0.1:{relay.port}"
    publisher = PublishCommand(str(clip_path()), "clip", "", "--loop", "--to", to)
    wait_until(lambda: relay.streams().get("clip", {}).get("live"), "the clip's stream")
    yield "clip"
    publisher.stop()


def test_pages_show_the_very_frames(relay: WindowsRelay, clip: str, open_page: OpenPage) -> None:
    """The grid and the page of a stream: the clip's rate, and the clip's pictures."""
    url = f"http://127.0.0.1:{relay.port}"
    players = [Player(open_page(f"{url}/"), clip), Player(open_page(f"{url}/watch/{clip}"))]
    for player in players:
        player.wait_live()
    check_rates(players, CLIP_FPS)
    for player in players:
        check_pictures(player)
        stats = player.stats()
        assert (stats["codec"], stats["width"], stats["height"]) == ("avc1.4d401f", 1280, 720)
        assert (stats["state"], stats["reconnects"]) == ("live", 0)
    assert not relay.errors()


def test_frame_number_in_the_demo_picture(relay: WindowsRelay, open_page: OpenPage) -> None:
    """The number that the Windows publisher draws into a frame is the number of that frame."""
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/demo"))
    player.wait_live()
    for _ in range(3):
        capture = player.capture()
        assert read_frame_number(luma_of(capture.picture)) == capture.seq
        player.wait(f"s.seq > {capture.seq}")
