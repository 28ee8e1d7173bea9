"""A `<relay-player>` in a real page, as a test sees it."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgpack
import numpy as np
from playwright.sync_api import Page

from tests.browser.pictures import Picture

__all__ = ["CAPTURE", "Capture", "Frame", "Mark", "Player", "Socket"]

_WATCHDOG_MS: Final = 45_000
_POLL_MS: Final = 50
_KEY: Final = 1

_WAIT: Final = """
selector => {
  const s = document.querySelector(selector)?.getStats?.();
  return s && (CONDITION) && s;
}
"""
CAPTURE: Final = """
selector => {
  const player = document.querySelector(selector);
  const { canvas } = player;
  const context = canvas.getContext("2d");
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let at = 0; at < data.length; at += 0x8000) {
    text += String.fromCharCode(...data.subarray(at, at + 0x8000));
  }
  return [player.getStats().seq, canvas.width, canvas.height, btoa(text)];
}
"""
_MARK: Final = """
selector => {
  const { decoded, seq } = document.querySelector(selector).getStats();
  return [performance.now() / 1000, decoded, seq];
}
"""
_SHOW: Final = """
state => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
  document.dispatchEvent(new Event("visibilitychange"));
}
"""


@dataclass(frozen=True, slots=True)
class Capture:
    """What is on the canvas."""

    seq: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a player had come at a moment of its page's clock, seconds."""

    at: float
    decoded: int
    seq: int

    def rate_since(self, earlier: Mark) -> float:
        """Pictures decoded in a second since then."""
        return (self.decoded - earlier.decoded) / (self.at - earlier.at)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it came over the wire, without its payload."""

    seq: int
    key: bool


@dataclass(frozen=True, slots=True)
class Socket:
    """What went over one WebSocket of a page.

    Attributes:
        url: what was dialled.
        received: maps and `Frame` objects, oldest first.
        sent: maps.
        close: code and reason, None while open.
    """

    url: str
    received: list[dict[str, Any] | Frame]
    sent: list[dict[str, Any]]
    close: tuple[int, str] | None

    @property
    def frames(self) -> list[Frame]:
        """The frames among what was received."""
        return [each for each in self.received if isinstance(each, Frame)]

    def sent_types(self) -> list[str]:
        """What it said, leaving out the clocks' questions and answers."""
        return [each["type"] for each in self.sent if each["type"] not in ("ping", "pong")]


class Player:
    """One player of one page."""

    def __init__(self, page: Page, stream: str = "") -> None:
        """Look at a page.

        Args:
            page: the page.
            stream: the player's stream, for a page with several.
        """
        self.page = page
        self._selector = f'relay-player[stream="{stream}"]' if stream else "relay-player"

    def stats(self) -> dict[str, Any]:
        """``getStats()``."""
        found: dict[str, Any] = self.page.evaluate(
            "selector => document.querySelector(selector).getStats()", self._selector
        )
        return found

    def wait(self, condition: str) -> dict[str, Any]:
        """Wait until a JavaScript condition on the statistics ``s`` holds; those statistics."""
        handle = self.page.wait_for_function(
            _WAIT.replace("CONDITION", condition),
            arg=self._selector,
            timeout=_WATCHDOG_MS,
            polling=_POLL_MS,
        )
        found: dict[str, Any] = handle.json_value()
        return found

    def wait_live(self) -> dict[str, Any]:
        """Wait until it plays at the live edge."""
        return self.wait(
            "s.state === 'live' && s.painted > 5 && s.queued === 0 && s.latencyMs < 500"
        )

    def wait_more(self, pictures: int) -> dict[str, Any]:
        """Wait until it has decoded so many more pictures."""
        return self.wait(f"s.decoded >= {self.stats()['decoded'] + pictures}")

    def wait_ticks(self, ticks: int) -> None:
        """Wait until the page's players were called so often by their timers, of a second."""
        before = self.page.evaluate("seen.ticks")
        self.page.wait_for_function(
            f"() => seen.ticks >= {before + ticks}", timeout=_WATCHDOG_MS, polling=_POLL_MS
        )

    def mark(self) -> Mark:
        """How far it has come."""
        return Mark(*self.page.evaluate(_MARK, self._selector))

    def capture(self) -> Capture:
        """The canvas' picture, and its number, of one instant."""
        seq, width, height, text = self.page.evaluate(CAPTURE, self._selector)
        pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
        return Capture(seq, pixels[..., :3])

    def hide(self) -> None:
        """Make the page believe that its tab is hidden; headless tabs never are."""
        self.page.evaluate(_SHOW, "hidden")

    def show(self) -> None:
        """Make it believe that it is shown again."""
        self.page.evaluate(_SHOW, "visible")

    def words(self) -> str:
        """What a screen reader was told last."""
        return self.page.locator(f"{self._selector} [role=status]").text_content() or ""

    # What `observe.js` wrote down of the page.

    def states(self) -> list[str]:
        """States of all players of the page, oldest first."""
        return [state for state, _ in self.page.evaluate("seen.states")]

    def decoders(self) -> tuple[int, int]:
        """How many decoders were made, and closed."""
        made, closed = self.page.evaluate("[seen.decoders.made, seen.decoders.closed]")
        return made, closed

    def sockets(self) -> list[Socket]:
        """All WebSockets of the page, oldest first."""
        return [
            Socket(
                each["url"],
                [_received(text) for text in each["received"]],
                [msgpack.unpackb(base64.b64decode(text)) for text in each["sent"]],
                tuple(each["close"]) if each["close"] else None,
            )
            for each in self.page.evaluate("seen.sockets")
        ]

    def gaps(self) -> list[tuple[int, int]]:
        """Neighbours on the wire whose numbers are not neighbours."""
        return [gap for socket in self.sockets() for gap in _gaps(socket.frames)]


def _received(text: str) -> dict[str, Any] | Frame:
    data = base64.b64decode(text)
    if data[0] & 0xF0 != 0x90:
        value: dict[str, Any] = msgpack.unpackb(data)
        return value
    # The payload is cut off.
    head = msgpack.Unpacker()
    head.feed(data)
    head.read_array_header()
    seq, _, _, flags = (head.unpack() for _ in range(4))
    return Frame(seq, bool(flags & _KEY))


def _gaps(frames: list[Frame]) -> Iterator[tuple[int, int]]:
    for before, after in itertools.pairwise(frames):
        if after.seq != before.seq + 1:
            yield before.seq, after.seq
