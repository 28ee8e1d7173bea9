"""The grid follows what is published, the watch page tells how to embed, and that works."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import pytest

from tests.browser.conftest import OpenPage, Publish
from tests.browser.player import Player
from tests.e2e.relay_process import RelayProcess

pytestmark = pytest.mark.browser

SMALL: Final = ("--size", "320x180", "--fps", "10")


def test_grid_follows_the_streams_and_interrupts_none(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """Tiles come by themselves, in order; a player is not touched by its neighbours."""
    page = open_page(f"http://127.0.0.1:{relay.port}/")
    page.get_by_text("Nothing is being published yet").wait_for()
    publish("demo", "b", *SMALL)
    player = Player(page, "b")
    player.wait_live()
    assert not page.get_by_text("Nothing is being published yet").is_visible()
    publish("demo", "c", *SMALL)
    publish("demo", "a", *SMALL)
    Player(page, "c").wait_live()
    Player(page, "a").wait_live()
    assert page.locator(".tile h2").all_text_contents() == ["a", "b", "c"]
    stats = player.stats()
    assert (stats["state"], stats["reconnects"], stats["skips"]) == ("live", 0, 0)
    assert len(player.sockets()) == 3

    relay.stop()
    page.get_by_text("The relay does not answer. Trying again…").wait_for()


def test_player_off_screen_has_no_connection(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """Only what is near the window is asked for."""
    page = open_page(f"http://127.0.0.1:{relay.port}/")
    page.set_viewport_size({"width": 400, "height": 240})
    publish("demo", "above", *SMALL)
    publish("demo", "below", *SMALL)
    above = Player(page, "above")
    above.wait_live()
    page.locator("[data-stream=below]").wait_for(state="attached")
    assert len(above.sockets()) == 1
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    below = Player(page, "below")
    below.wait_live()
    page.wait_for_function("() => seen.sockets[0].close")
    assert above.sockets()[0].close == (1000, "")


def test_tile_opens_its_stream_and_its_buttons_do_not(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """By pointer and by keyboard."""
    url = f"http://127.0.0.1:{relay.port}"
    publish("demo", "cam0", *SMALL)
    page = open_page(f"{url}/")
    Player(page, "cam0").wait_live()
    picture = page.locator("relay-player")
    picture.hover()
    page.get_by_role("button", name="Statistics").click()
    page.get_by_text("Latency").wait_for()
    assert page.url == f"{url}/"
    picture.click(position={"x": 100, "y": 80})
    page.wait_for_url(f"{url}/watch/cam0")
    page.go_back()
    page.get_by_role("link", name="cam0").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{url}/watch/cam0")


def test_embedded_as_the_watch_page_says(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """The snippet plays on a page of another site, from one URL."""
    publish("demo", "cam0", *SMALL)
    watch = open_page(f"http://127.0.0.1:{relay.port}/watch/cam0")
    watch.get_by_text("Embed this stream").click()
    snippet = watch.locator("#snippet").text_content() or ""
    with _site(f"<!doctype html><title>Elsewhere</title>{snippet}") as elsewhere:
        player = Player(open_page(elsewhere))
        player.wait_live()
        (socket,) = player.sockets()
    assert socket.url == f"ws://127.0.0.1:{relay.port}/view/cam0"


@contextmanager
def _site(page: str) -> Iterator[str]:
    """Another web server, whose every page is ``page``; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *args: object) -> None:
            """Not on the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
