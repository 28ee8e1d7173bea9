"""What cannot be played says why, in words, and does not try for ever."""

from __future__ import annotations

import io
from typing import Final

import pytest
from PIL import Image

from bus import Publisher
from tests.browser.conftest import OpenPage, Publish
from tests.browser.player import Player
from tests.e2e.conftest import StartRelay
from tests.e2e.relay_process import RelayProcess

pytestmark = pytest.mark.browser

SECRET: Final = "open-sesame"
LONGER_THAN_A_BACKOFF: Final = 2
"""Ticks of a second; the first reconnects would come within half of one."""


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "a token is needed to view this stream"),
        ("?token=wrong", "this token may not view this stream"),
    ],
)
def test_without_the_token_no_picture_and_no_reconnect_loop(
    start_relay: StartRelay, publish: Publish, open_page: OpenPage, query: str, reason: str
) -> None:
    """A refusal is final until somebody presses the button."""
    relay = start_relay(env={"RELAY_VIEW_TOKEN": SECRET})
    publish("demo", "cam0", "--size", "320x180")
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/cam0{query}"))
    assert player.wait("s.state === 'error'")["reason"] == reason
    assert player.words() == f"Cannot play this stream. {reason[0].upper()}{reason[1:]}"
    player.wait_ticks(LONGER_THAN_A_BACKOFF)
    (socket,) = player.sockets()
    assert socket.close == (1008, reason)
    assert socket.received == []

    player.page.get_by_role("button", name="Try again").click()
    player.page.wait_for_function("() => seen.sockets[1]?.close")
    assert player.stats()["reason"] == reason


def test_token_of_the_address_opens_both_pages(
    start_relay: StartRelay, publish: Publish, open_page: OpenPage
) -> None:
    """``?token=`` of a page's address goes to the relay and on to the other page."""
    relay = start_relay(env={"RELAY_VIEW_TOKEN": SECRET})
    publish("demo", "cam0", "--size", "320x180")
    url = f"http://127.0.0.1:{relay.port}"
    strangers = open_page(f"{url}/")
    strangers.get_by_text("Nothing is being published yet").wait_for()
    page = open_page(f"{url}/?token={SECRET}")
    Player(page, "cam0").wait_live()
    page.get_by_role("link", name="cam0", exact=True).click()
    page.wait_for_url(f"{url}/watch/cam0?token={SECRET}")
    Player(page).wait_live()
    page.get_by_role("link", name="All streams").click()
    page.wait_for_url(f"{url}/?token={SECRET}")
    assert SECRET not in relay.log()


def test_codec_that_the_browser_does_not_know(
    relay: RelayProcess, instance: str, open_page: OpenPage
) -> None:
    """It is said by name, frames are refused, and the next publisher is played."""
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/odd"))
    player.wait("s.state === 'waiting'")
    with Publisher("odd", codec="x-odd.1", width=64, height=48, instance=instance) as publisher:
        publisher.write(b"odd", key=True)
        stats = player.wait("s.state === 'error'")
        assert stats["reason"] == "This browser cannot decode x-odd.1. Publish H.264 or VP8."
        assert stats["codec"] == "x-odd.1"
        assert not player.page.get_by_role("button", name="Try again").is_visible()
    player.wait("s.state === 'waiting'")
    with Publisher("odd", codec="mjpeg", width=64, height=48, instance=instance) as publisher:
        publisher.write(_jpeg())
        stats = player.wait("s.state === 'live'")
    (socket,) = player.sockets()
    assert socket.sent_types()[:2] == ["pause", "resume"]
    assert (stats["decoded"], stats["reconnects"]) == (1, 0)


def test_name_that_is_none(relay: RelayProcess, open_page: OpenPage) -> None:
    """The watch page of such a stream does not exist; a player with it says what is wrong."""
    url = f"http://127.0.0.1:{relay.port}"
    reply = relay.get("/watch/-cam")
    assert reply.status == 404
    assert "invalid stream name '-cam'" in reply.text
    page = open_page(f"{url}/")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('relay-player')));"
        "document.querySelector('relay-player').setAttribute('stream', '../x')"
    )
    player = Player(page)
    assert player.wait("s.state === 'error'")["reason"].startswith("“../x” is not a stream name")
    assert player.sockets() == []


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 60, 20)).save(file, "JPEG")
    return file.getvalue()
