"""relay-load against a real relay: calm, with a worker killed, at the relay's limits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest

from relay.cli import load
from relay.load.departures import WAYS
from tests.certificates import make_pair
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.loading import LOAD, LoadProcess
from tests.e2e.relay_process import PROJECT, RelayProcess, command
from tests.e2e.waiting import WATCHDOG

VIEWERS: Final = 40
FROZEN: Final = "no pictures"
MANY: Final = ("--viewers", str(VIEWERS))


def url(relay: RelayProcess) -> str:
    return f"ws://{relay.host}:{relay.port}/view/cam0"


@pytest.mark.slow
def test_calm(start_relay: StartRelay, publish: StartPublisher, tmp_path: Path) -> None:
    """Everybody gets everything, and the HTML report needs nothing from elsewhere."""
    relay = start_relay(workers=2)
    publish("shm", "cam0")
    page = tmp_path / "report.html"
    options = ("--duration", "3", "--html", str(page), "--fail-if", "invalid>0,lost>0,frames<1000")
    with LoadProcess(url(relay), tmp_path, *MANY, *options) as test:
        code, report = test.finish()
    assert code == 0, report["broken"]
    metrics = report["metrics"]
    assert metrics["connected"] == VIEWERS
    assert metrics["skipped"] == 0
    assert metrics["p50"] > 0
    assert {row["slot"] for row in report["samples"][-1]["workers"]} == {0, 1}
    html = page.read_text()
    assert re.findall(r"<(?:script|img)[^>]*\ssrc=|<link[^>]*\shref=", html) == []


@pytest.mark.slow
def test_a_worker_is_killed(
    start_relay: StartRelay, publish: StartPublisher, tmp_path: Path
) -> None:
    """The report says who was affected, and marks the moment."""
    relay = start_relay(workers=2)
    publish("shm", "cam0")
    with LoadProcess(url(relay), tmp_path, *MANY) as test:
        test.until(f" {VIEWERS} viewers ")
        victim = relay.workers()[0]
        affected = victim["viewers"]
        os.kill(victim["pid"], signal.SIGKILL)
        test.until("worker 0 restarted")
        test.until(f" {VIEWERS} viewers .* frozen 0 ")
        code, report = test.stop()
    assert code == 1
    assert "lost>0" in report["broken"]
    assert report["metrics"]["lost"] == affected
    assert [event["what"] for event in report["events"]] == ["worker 0 restarted"]
    assert report["metrics"]["connected"] == VIEWERS
    assert report["metrics"]["invalid"] == 0
    # How long others waited for a picture is a matter of this machine.
    (incident,) = [each for each in report["incidents"] if each["cause"] != FROZEN]
    assert incident["cause"] == "connection lost"
    assert incident["viewers"] == affected
    assert incident["workers"] == {"0": affected}
    assert 0 < incident["median"] <= incident["longest"]
    assert report["metrics"]["outage"] == pytest.approx(
        max(each["longest"] for each in report["incidents"]) * 1000
    )


@pytest.mark.slow
def test_a_relay_that_stands_still_is_no_success(
    start_relay: StartRelay, publish: StartPublisher, tmp_path: Path
) -> None:
    """The connections stay up; the pictures do not come."""
    relay = start_relay(workers=2)
    publish("shm", "cam0")
    processes = relay.processes()
    try:
        with LoadProcess(url(relay), tmp_path, *MANY) as test:
            test.until(f" {VIEWERS} viewers ")
            for each in processes:
                each.suspend()
            test.until(f" frozen {VIEWERS} ")
            code, report = test.stop()
    finally:
        for each in processes:
            each.resume()
    assert code == 1
    assert "freeze>0" in report["broken"]
    assert report["metrics"]["freeze"] >= VIEWERS


@pytest.mark.slow
def test_it_publishes_checksums_and_finds_them_intact(
    start_relay: StartRelay, tmp_path: Path
) -> None:
    """Viewers of all kinds, who come and go in all ways; whoever stays gets every frame whole."""
    relay = start_relay(workers=2)
    options = ("--publish", "cam0@20fps,16KiB*3", "--duration", "4", "--churn", "40/s")
    odd = ("--slow", "10%", "--hidden", "10%", "--half-open", "10%")
    with LoadProcess(url(relay), tmp_path, *MANY, *options, *odd, "--fail-if", "invalid>0") as test:
        code, report = test.finish()
    assert code == 0, report["reasons"]
    metrics, kinds = report["metrics"], report["kinds"]
    assert metrics["checked"] == metrics["frames"] > 1000
    assert metrics["lost"] == metrics["refused"] == 0
    assert [each for each in report["incidents"] if each["cause"] != FROZEN] == []
    assert set(kinds) == {"watching", "slow", "hidden", "half-open"}
    assert {way for sums in kinds.values() for way in sums["left"]} == set(WAYS)
    assert relay.errors() == []


@pytest.mark.slow
def test_over_tls_with_tokens(start_relay: StartRelay, tmp_path: Path) -> None:
    """Viewers and publishers, of a relay whose certificate only this test trusts."""
    pair = make_pair(tmp_path)
    tokens = {"RELAY_VIEW_TOKEN": "open-sesame", "RELAY_PUBLISH_TOKEN": "open-sesame"}
    relay = start_relay(*pair.flags, workers=2, env=tokens)
    secure = f"wss://localhost:{relay.port}/view/cam0"
    options = ("--viewers", "5", "--publish", "cam0@20fps,16KiB")
    trusting = {"SSL_CERT_FILE": str(pair.cert), "RELAY_TOKEN": "open-sesame"}
    with LoadProcess(secure, tmp_path, *options, "--duration", "2", env=trusting) as test:
        code, report = test.finish()
    assert code == 0, report["reasons"]
    metrics = report["metrics"]
    assert metrics["connected"] == 5
    assert metrics["checked"] == metrics["frames"] > 0
    # Asked over https, with the token.
    assert len(report["samples"][-1]["workers"]) == 2
    assert "open-sesame" not in str(report)
    untrusting = {"RELAY_TOKEN": "open-sesame"}
    with LoadProcess(secure, tmp_path, "--viewers", "2", env=untrusting) as test:
        test.until("refused [1-9]")
        code, report = test.stop()
    assert code == 1
    assert any(why.startswith("refused: TLS: ") for why in report["reasons"])
    assert relay.errors() == []


@pytest.mark.slow
def test_descriptors_of_the_relay_ran_out(
    start_relay: StartRelay, publish: StartPublisher, tmp_path: Path
) -> None:
    """It is told, though nobody is refused: newcomers wait in the backlog."""
    relay = start_relay(workers=1, descriptors=80)
    publish("shm", "cam0")
    with LoadProcess(url(relay), tmp_path, *MANY) as test:
        test.until("refused [1-9]")
        code, report = test.stop()
    assert code == 1
    assert report["diagnosis"]["resource"].startswith("relay descriptors: ")
    assert not report["diagnosis"]["generator"]
    assert 10 < report["metrics"]["connected"] < VIEWERS


@pytest.mark.slow
def test_descriptors_of_the_generator_ran_out(
    start_relay: StartRelay, publish: StartPublisher, tmp_path: Path
) -> None:
    """Which is no fault of the relay's."""
    relay = start_relay(workers=1)
    publish("shm", "cam0")
    one = ("--processes", "1", "--viewers", "64")
    with LoadProcess(url(relay), tmp_path, *one, descriptors=64) as test:
        test.until("refused [1-9]")
        code, report = test.stop()
    assert code == 1
    assert report["diagnosis"]["resource"].startswith("descriptors of the load generator")
    assert report["diagnosis"]["generator"]


def test_streams_that_somebody_else_publishes(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    relay = start_relay(workers=1)
    publish("shm", "cam0")
    done = subprocess.run(
        command(LOAD, url(relay), "--publish", "cam0"),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "being published" in done.stderr


def test_interrupted_it_still_reports(
    start_relay: StartRelay, publish: StartPublisher, tmp_path: Path
) -> None:
    """Ctrl-C ends the test, not the report."""
    relay = start_relay(workers=1)
    publish("shm", "cam0")
    with LoadProcess(url(relay), tmp_path, "--viewers", "5") as test:
        test.until(" viewers ")
        code, report = test.stop()
    assert code == 0, report["broken"]
    assert report["interrupted"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "URL"),
        (["http://h/view/x"], "WebSocket"),
        (["ws://h:99999/view/x"], "URL"),
        (["ws://h/watch/x"], "stream"),
        (["ws://h/view/../x"], "name"),
        (["ws://u:p@h/view/x"], "user"),
        (["ws://h/view/x", "--viewers", "0"], "--viewers"),
        (["ws://h/view/x", "--viewers", "many"], "--viewers"),
        (["ws://h/view/x", "--browsers", "-1"], "--browsers"),
        (["ws://127.0.0.1/view/x", "--browsers", "1", "--chromium", "/nowhere"], "/nowhere"),
        (["ws://h/view/x", "--duration", "0"], "--duration"),
        (["ws://h/view/x", "--ramp", "soon"], "--ramp"),
        (["ws://h/view/x", "--processes", "0"], "--processes"),
        (["ws://h/view/x", "--fail-if", "p99>fast"], "--fail-if"),
        (["ws://h/view/x", "--churn", "many"], "--churn"),
        (["ws://h/view/x", "--slow", "5"], "--slow"),
        (["ws://127.0.0.1/view/x", "--slow", "60%", "--hidden", "60%"], "100%"),
        (["ws://h/view/x", "--publish", "x@soon"], "--publish"),
        (["ws://127.0.0.1/view/x", "--max-viewers", "5"], "--find-limit"),
        (["ws://no-such-host.invalid/view/x"], "no-such-host.invalid"),
        (["ws://127.0.0.1/view/x", "--json", "/nowhere/r.json"], "--json"),
        (["ws://127.0.0.1/view/x", "--html", "/nowhere/r.html"], "--html"),
        (["ws://127.0.0.1/view/x", "--json", "/"], "is a folder"),
        (["ws://127.0.0.1/view/x", "--token", "two words"], "token"),
        (["ws://127.0.0.1/view/x", "--token-file", "/nowhere"], "/nowhere"),
        (["ws://h/view/x", "--veiwers", "3"], "--veiwers"),
    ],
)
def test_bad_input(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load.main(arguments)
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert len(shown.err.splitlines()) == 1
    assert words in shown.err
    assert shown.out == ""
