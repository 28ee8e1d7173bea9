"""A site with the player's files and a relay that says what a test wants, both in the browser.

Nothing goes over a network: Playwright answers the page's requests and WebSockets itself. Its
handlers run while the test waits in a call of Playwright.
"""

from __future__ import annotations

import time
from typing import Any, Final

import msgpack
from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute

from bus.frame import KEY, encode
from relay.assets import load_assets
from tests.browser.player import Player
from tests.e2e.waiting import wait_until

__all__ = ["INSECURE", "SECURE", "FakeRelay", "open_site"]

SECURE: Final = "https://player.test"
INSECURE: Final = "http://player.test"
"""Where browsers have no WebCodecs."""


def open_site(context: BrowserContext, site: str = SECURE) -> Page:
    """Open an empty page of a site that serves nothing but the player's files."""
    assets = load_assets()

    def answer(route: Route) -> None:
        asset = assets.get(route.request.url.removeprefix(f"{site}/"))
        if asset is None:
            route.fulfill(body="<!doctype html>", content_type="text/html")
        else:
            route.fulfill(body=asset.body, content_type=asset.content_type)

    context.route(f"{site}/**", answer)
    page = context.new_page()
    page.goto(f"{site}/")
    return page


class FakeRelay:
    """Serves one player.

    Attributes:
        player: plays stream ``cam0``.
        sockets: all that it dialled.
        said: all that it said, but for its clock's questions.
    """

    def __init__(self, context: BrowserContext, site: str = SECURE) -> None:
        self.sockets: list[WebSocketRoute] = []
        self.said: list[dict[str, Any]] = []
        context.route_web_socket("**/view/cam0", self._dialled)
        page = open_site(context, site)
        self.player = Player(page)
        page.evaluate("""
            async () => {
              await import("/player.js");
              const player = document.createElement("relay-player");
              player.setAttribute("stream", "cam0");
              document.body.append(player);
            }
        """)
        self.wait_dialled(1)

    def _dialled(self, socket: WebSocketRoute) -> None:
        socket.on_message(self._heard)
        self.sockets.append(socket)

    def _heard(self, data: str | bytes) -> None:
        assert isinstance(data, bytes)
        message = msgpack.unpackb(data)
        if message["type"] != "ping":
            self.said.append(message)

    def count(self, kind: str) -> int:
        """How often it said that."""
        return sum(each["type"] == kind for each in self.said)

    def wait_dialled(self, times: int) -> None:
        """Wait until it has dialled so often."""
        # Looking at the page lets the handlers run.
        wait_until(
            lambda: self.player.page.title() == "" and len(self.sockets) >= times,
            f"{times} connections",
        )

    def wait_said(self, kind: str, times: int = 1) -> None:
        """Wait until it has said something."""
        wait_until(
            lambda: self.player.page.title() == "" and self.count(kind) >= times,
            lambda: f"{times} of {kind!r}; it said {self.said}",
        )

    def tell(self, kind: str, **fields: Any) -> None:
        """Send a map over the newest socket."""
        self.send(msgpack.packb({"type": kind, **fields}))

    def send(self, message: bytes) -> None:
        """Send bytes over the newest socket."""
        self.sockets[-1].send(message)

    def hello(
        self, codec: str, init: bytes = b"", *, epoch: int = 1, size: tuple[int, int] = (0, 0)
    ) -> None:
        """Announce a stream."""
        width, height = size
        self.tell(
            "hello",
            **{"stream": "cam0", "codec": codec, "init": init, "epoch": epoch},
            **{"width": width, "height": height, "fps": 25, "server_us": _now(), "offset_us": 0},
        )

    def frame(self, seq: int, payload: bytes, *, key: bool) -> None:
        """Send a frame."""
        self.send(encode(seq, seq * 40_000, _now(), KEY if key else 0, payload))


def _now() -> int:
    return time.time_ns() // 1000
