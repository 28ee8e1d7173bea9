"""A real browser over https and wss, while the certificate is renewed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Publish
from tests.browser.player import Player
from tests.certificates import make_pair
from tests.e2e.conftest import StartRelay
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def relay(start_relay: StartRelay, tmp_path: Path) -> RelayProcess:
    return start_relay(*make_pair(tmp_path).flags, workers=2)


def test_a_player_does_not_notice_a_renewed_certificate(
    browser: Browser, relay: RelayProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("demo", "demo")
    with browser.new_context(ignore_https_errors=True) as context:
        page = context.new_page()
        page.goto(f"https://localhost:{relay.port}/watch/demo")
        player = Player(page)
        assert player.wait_live()["reconnects"] == 0
        make_pair(tmp_path)
        relay.reload()
        wait_until(lambda: relay.log_lines("all workers have the new TLS"), "the new certificate")
        seen = player.wait_more(30)
        assert (seen["state"], seen["reconnects"]) == ("live", 0)
        # A page that is opened now gets it.
        page.reload()
        player.wait_live()
    assert not relay.errors()
