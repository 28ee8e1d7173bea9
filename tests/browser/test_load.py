"""relay-load with real browsers: what their players tell is in its report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificates import make_pair
from tests.e2e.conftest import StartRelay
from tests.e2e.loading import LoadProcess

pytestmark = pytest.mark.browser


def test_browsers_play_what_it_publishes(start_relay: StartRelay, tmp_path: Path) -> None:
    relay = start_relay(workers=2)
    url = f"ws://127.0.0.1:{relay.port}/view/cam0"
    options = ("--viewers", "4", "--browsers", "2", "--publish", "cam0@15fps,8KiB")
    with LoadProcess(url, tmp_path, *options, "--fail-if", "invalid>0") as test:
        for _ in range(4):
            test.until(" 4 viewers ")
        code, report = test.stop()
    assert code == 0, report["reasons"]
    assert [each["state"] for each in report["browsers"]] == ["live", "live"]
    assert all(each["decoded"] > 0 and each["width"] == 320 for each in report["browsers"])
    # Pictures carry the seal that viewers check.
    assert report["metrics"]["checked"] == report["metrics"]["frames"] > 0
    assert report["metrics"]["paint"] > 0
    assert any(sample["browsers"][0] for sample in report["samples"])


def test_browsers_that_do_not_trust_the_relay(start_relay: StartRelay, tmp_path: Path) -> None:
    """One line, without the token that was in the page's address."""
    pair = make_pair(tmp_path)
    relay = start_relay(*pair.flags, workers=1)
    url = f"wss://localhost:{relay.port}/view/cam0"
    trusting = {"SSL_CERT_FILE": str(pair.cert), "RELAY_TOKEN": "open-sesame"}
    with LoadProcess(url, tmp_path, "--browsers", "1", env=trusting) as test:
        code, complaint = test.failure()
    assert code == 1
    assert len(complaint.splitlines()) == 1
    assert complaint.startswith("relay-load: error: --browsers: ")
    assert "CERT_AUTHORITY_INVALID" in complaint and "open-sesame" not in complaint
