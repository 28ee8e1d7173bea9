"""People press F5 as fast as they can, and nobody else notices."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import OpenPage, Publish
from tests.browser.player import Player
from tests.e2e.conftest import StartRelay
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import wait_until
from workers.table import Column

pytestmark = pytest.mark.browser

FPS: Final = 25
RELOADS: Final = 20
STAYS: Final = ("picture", "", "domcontentloaded", "load", "")
"""For how long a page stays, in turns; empty: it is left before its scripts begin."""


def test_f5_storm_disturbs_nobody_and_leaves_nothing(
    start_relay: StartRelay, publish: Publish, open_page: OpenPage
) -> None:
    """Reloads, and new tabs that replace old ones, while two others watch."""
    # Browsers dial ahead of need and leave such connections to the server to close.
    relay = start_relay("--header-timeout", "2")
    publish("demo", "cam0", "--size", "640x360", "--fps", str(FPS))
    url = f"http://127.0.0.1:{relay.port}/watch/cam0"
    watchers = [Player(open_page(url)) for _ in range(2)]
    for watcher in watchers:
        watcher.wait_live()
    _total_is(relay, Column.VIEWERS, 2)
    reloaded, replaced = open_page(url), open_page(url)
    for count in range(RELOADS):
        reloaded.reload(wait_until="commit")
        _stay(reloaded, count)
        new = open_page(url, wait_until="commit")
        _stay(new, count + 1)
        replaced.close()
        replaced = new
    Player(reloaded).wait_live()
    Player(replaced).wait_live()
    reloaded.close()
    replaced.close()
    _total_is(relay, Column.VIEWERS, 2)
    _total_is(relay, Column.CONNECTIONS, 2)
    for watcher in watchers:
        watcher.wait_live()
        # All that came was shown, and all that was published came.
        stats = watcher.wait(f"s.decoded >= {len(watcher.sockets()[0].frames)}")
        assert (stats["skips"], stats["dropped"], stats["reconnects"]) == (0, 0, 0)
        assert watcher.gaps() == []
        assert watcher.states() == ["connecting", "live"]
        assert len(watcher.sockets()) == 1
    assert not relay.errors()
    assert sum(each["restarts"] for each in relay.workers()) == 0


def _stay(page: Page, count: int) -> None:
    """Wait until the page may be left."""
    match STAYS[count % len(STAYS)]:
        case "domcontentloaded" | "load" as state:
            page.wait_for_load_state(state)
        case "picture":
            Player(page).wait("s.painted > 0")


def _total_is(relay: RelayProcess, column: Column, number: int) -> None:
    wait_until(
        lambda: _total(relay, column) == number,
        lambda: f"{number} {column.name}; there are {_total(relay, column)}",
    )


def _total(relay: RelayProcess, column: Column) -> int:
    return sum(row[column] for row in relay.rows())


def test_reload_asks_for_little(
    start_relay: StartRelay, publish: Publish, open_page: OpenPage
) -> None:
    """The player's modules are loaded once; the page and the one URL it imports are asked for."""
    relay = start_relay()
    publish("demo", "cam0", "--size", "320x180", "--fps", str(FPS))
    page = open_page(f"http://127.0.0.1:{relay.port}/watch/cam0")
    player = Player(page)
    player.wait_live()
    first = _total(relay, Column.HTTP_REQUESTS)
    page.reload()
    player.wait_live()
    assert _total(relay, Column.HTTP_REQUESTS) - first == 2 < first
