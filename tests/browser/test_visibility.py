"""A hidden tab holds no decoder and is sent no frames; shown again, it plays at once."""

from __future__ import annotations

from typing import Final

import pytest

from tests.browser.conftest import OpenPage, Publish
from tests.browser.player import Player
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import wait_until
from workers.table import Column

pytestmark = pytest.mark.browser

SECOND: Final = 25
"""Pictures in one."""
SMALL: Final = ("--size", "320x180", "--fps", str(SECOND), "--gop", "0.4")
"""With many key frames, so that what a tab missed is more than what it is sent again."""


def test_hidden_tab_pauses_and_comes_back(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """The relay counts what the tab did not get as hidden, and nothing else as skipped."""
    publish("demo", "cam0", *SMALL)
    url = f"http://127.0.0.1:{relay.port}/watch/cam0"
    player, other = Player(open_page(url)), Player(open_page(url))
    player.wait_live()
    other.wait_live()
    assert player.decoders() == (1, 0)

    player.hide()
    assert player.stats()["state"] == "paused"
    assert player.decoders() == (1, 1)
    received = _received_at_last(player, other)
    paused = player.stats()
    other.wait_more(2 * SECOND)
    assert player.stats()["decoded"] == paused["decoded"]
    assert len(player.sockets()[0].frames) == received

    player.show()
    stats = player.wait(f"s.state === 'live' && s.painted > {paused['painted'] + SECOND}")
    assert player.states() == ["connecting", "live", "paused", "connecting", "live"]
    assert player.decoders() == (2, 1)
    assert stats["reconnects"] == 0
    assert stats["skipsByCause"] == {"network": 0, "decoder": 0, "hidden": 1, "error": 0}
    (socket,) = player.sockets()
    assert socket.frames[received].key
    assert [each for each in socket.sent_types() if each != "stats"] == ["pause", "resume"]
    assert _total(relay, Column.SKIPPED_HIDDEN) >= SECOND
    assert _total(relay, Column.SKIPPED_NETWORK) == 0
    assert _total(relay, Column.SKIPPED_DECODER) == 0
    assert sum(each["skipped"]["hidden"] for each in relay.workers()) >= SECOND
    assert not relay.errors()


def test_hidden_tab_stays_hidden_over_a_new_publisher(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """Whatever comes while it is hidden, there is no decoder; then it plays what is new."""
    first = publish("demo", "cam0", *SMALL)
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/cam0"))
    before = player.wait_live()
    player.hide()
    first.kill()
    publish("demo", "cam0", *SMALL)
    player.wait(f"s.epoch > {before['epoch']}")
    assert player.stats()["state"] == "paused"
    assert player.decoders() == (1, 1)
    player.show()
    stats = player.wait_live()
    assert stats["reconnects"] == 0
    assert player.decoders() == (2, 1)


def test_tab_hidden_when_opened_dials_when_it_is_shown(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """A page opened in the background asks for nothing."""
    publish("demo", "cam0", *SMALL)
    page = open_page(f"http://127.0.0.1:{relay.port}/watch/cam0")
    player = Player(page)
    player.wait_live()
    player.hide()
    page.evaluate("document.querySelector('relay-player').setAttribute('token', 'x')")
    player.wait("s.state === 'paused' && s.painted === 0")
    wait_until(lambda: _total(relay, Column.VIEWERS) == 0, "the viewer to leave")
    assert len(player.sockets()) == 1
    player.show()
    player.wait_live()
    assert len(player.sockets()) == 2


def _received_at_last(player: Player, other: Player) -> int:
    """How many frames a hidden page has, once what was on its way has come in."""
    before, received = -1, len(player.sockets()[0].frames)
    while received != before:
        other.wait_more(SECOND // 2)
        before, received = received, len(player.sockets()[0].frames)
    return received


def _total(relay: RelayProcess, column: Column) -> int:
    return sum(row[column] for row in relay.rows())
