"""relay-load against a real relay: calm, with a worker killed, stopped; and bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from relay.load.departures import WAYS
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.relay_process import PROJECT, RelayProcess, command
from tests.e2e.waiting import WATCHDOG

LOAD: Final = "relay.cli.load"
VIEWERS: Final = 40


def _load(
    relay: RelayProcess, report: Path, *options: str, meanwhile: Callable[[], None] | None = None
) -> tuple[int, dict[str, Any]]:
    """Run a test; its exit status and report.

    Args:
        meanwhile: called when all viewers are connected.
    """
    url = f"ws://{relay.host}:{relay.port}/view/cam0"
    process = subprocess.Popen(
        command(LOAD, url, "--viewers", str(VIEWERS), "--json", str(report), *options),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as stdout:
        for line in stdout:
            if meanwhile is not None and f" {VIEWERS} viewers " in line:
                meanwhile()
                meanwhile = None
    return process.wait(WATCHDOG), json.loads(report.read_text())


@pytest.mark.slow
def test_calm(start_relay: StartRelay, publish: StartPublisher, tmp_path: Path) -> None:
    """Everybody gets everything, and the HTML report needs nothing from elsewhere."""
    relay = start_relay(workers=2)
    publish("shm", "cam0")
    page = tmp_path / "report.html"
    options = ("--duration", "4", "--html", str(page), "--fail-if", "invalid>0,lost>0,frames<1000")
    code, report = _load(relay, tmp_path / "r.json", *options)
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
    affected = 0

    def kill() -> None:
        nonlocal affected
        victim = relay.workers()[0]
        affected = victim["viewers"]
        os.kill(victim["pid"], signal.SIGKILL)

    code, report = _load(relay, tmp_path / "r.json", "--duration", "8", meanwhile=kill)
    assert code == 1
    assert "lost>0" in report["broken"]
    assert report["metrics"]["lost"] == affected
    assert [event["what"] for event in report["events"]] == ["worker 0 restarted"]
    assert report["metrics"]["connected"] == VIEWERS
    assert report["metrics"]["invalid"] == 0
    (incident,) = report["incidents"]
    assert incident["cause"] == "connection lost"
    assert incident["viewers"] == affected
    assert incident["workers"] == {"0": affected}
    assert 0 < incident["median"] <= incident["longest"]
    assert report["metrics"]["outage"] == pytest.approx(incident["longest"] * 1000)


@pytest.mark.slow
def test_a_relay_that_stands_still_is_no_success(
    start_relay: StartRelay, publish: StartPublisher, tmp_path: Path
) -> None:
    """The connections stay up; the pictures do not come."""
    relay = start_relay(workers=2)
    publish("shm", "cam0")
    processes = relay.processes()

    def stop() -> None:
        for each in processes:
            each.suspend()

    try:
        code, report = _load(relay, tmp_path / "r.json", "--duration", "8", meanwhile=stop)
    finally:
        for each in processes:
            each.resume()
    assert code == 1
    assert "freeze>0" in report["broken"]
    assert report["metrics"]["freeze"] == VIEWERS


@pytest.mark.slow
def test_it_publishes_checksums_and_finds_them_intact(
    start_relay: StartRelay, tmp_path: Path
) -> None:
    """Viewers of all kinds, who come and go in all ways; whoever stays gets every frame whole."""
    relay = start_relay(workers=2)
    options = ("--publish", "cam0@20fps,16KiB*3", "--duration", "6", "--churn", "15/s")
    odd = ("--slow", "10%", "--hidden", "10%", "--half-open", "10%")
    code, report = _load(relay, tmp_path / "r.json", *options, *odd, "--fail-if", "invalid>0")
    assert code == 0, report["reasons"]
    metrics, kinds = report["metrics"], report["kinds"]
    assert metrics["checked"] == metrics["frames"] > 1000
    assert metrics["lost"] == metrics["refused"] == 0
    assert report["incidents"] == []
    assert set(kinds) == {"watching", "slow", "hidden", "half-open"}
    assert {way for sums in kinds.values() for way in sums["left"]} == set(WAYS)
    assert relay.errors() == []


def test_streams_that_somebody_else_publishes(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    relay = start_relay(workers=1)
    publish("shm", "cam0")
    url = f"ws://{relay.host}:{relay.port}/view/cam0"
    done = subprocess.run(
        command(LOAD, url, "--publish", "cam0"),
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
    url = f"ws://{relay.host}:{relay.port}/view/cam0"
    report = tmp_path / "r.json"
    process = subprocess.Popen(
        command(LOAD, url, "--viewers", "5", "--duration", "1000", "--json", str(report)),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert " viewers " in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    shown = process.communicate(timeout=WATCHDOG)[0]
    assert process.returncode == 0, shown
    assert json.loads(report.read_text())["interrupted"]


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
        (["ws://127.0.0.1/view/x", "--token", "two words"], "token"),
        (["ws://127.0.0.1/view/x", "--token-file", "/nowhere"], "/nowhere"),
        (["ws://h/view/x", "--veiwers", "3"], "--veiwers"),
    ],
)
def test_bad_input(arguments: list[str], words: str) -> None:
    done = subprocess.run(
        command(LOAD, *arguments), cwd=PROJECT, capture_output=True, text=True, timeout=WATCHDOG
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert done.stdout == ""
