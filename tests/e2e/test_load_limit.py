"""relay-load against a server whose limits and latencies are known."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.relay_process import PROJECT, command
from tests.relay.load.throttled import ThrottledServer

LOAD: Final = "relay.cli.load"
LIMIT: Final = 7


def _load(port: int, folder: Path, *options: str, scheme: str = "ws", **env: str) -> dict[str, Any]:
    report = folder / "report.json"
    url = f"{scheme}://localhost:{port}/view/x"
    done = subprocess.run(
        command(LOAD, url, "--processes", "1", "--json", str(report), *options),
        cwd=PROJECT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )
    assert report.exists(), done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    found["exit"] = done.returncode
    return found


@pytest.mark.slow
def test_a_known_latency_comes_back(tmp_path: Path) -> None:
    """Frames are aged by a known distribution before they are sent.

    The way through loopback and two event loops adds a little.
    """
    draw = random.Random(3)
    drawn: list[int] = []

    def age(viewers: int) -> int:
        drawn.append(round(draw.lognormvariate(13, 0.4)))
        return drawn[-1]

    with ThrottledServer(age, fps=100) as server:
        report = _load(server.port, tmp_path, "--viewers", "5", "--duration", "4")
    drawn.sort()
    for percent in (50, 95):
        exact = drawn[len(drawn) * percent // 100] / 1000
        assert exact * 0.85 < report["metrics"][f"p{percent}"] < exact * 1.35


@pytest.mark.slow
def test_the_limit_of_a_server_that_gets_slow(tmp_path: Path) -> None:
    """Above so many viewers its frames are old; the search ends just below."""
    with ThrottledServer(lambda viewers: 2_000_000 if viewers > LIMIT else 0) as server:
        options = ("--find-limit", "--viewers", "5", "--duration", "1", "--fail-if", "p50>1s")
        report = _load(server.port, tmp_path, *options)
    limit = report["limit"]
    assert limit["complete"]
    assert LIMIT - 1 <= limit["best"] <= LIMIT
    assert report["exit"] == 0
    assert all(bool(level["broken"]) == (level["viewers"] > LIMIT) for level in limit["levels"])


@pytest.mark.slow
def test_the_limit_of_a_server_that_refuses(tmp_path: Path) -> None:
    """Its own words say what ran out."""
    with ThrottledServer(most=LIMIT) as server:
        options = ("--find-limit", "--viewers", "5", "--max-viewers", "8", "--duration", "1")
        report = _load(server.port, tmp_path, *options, "--fail-if", "refused>0")
    limit = report["limit"]
    assert LIMIT - 1 <= limit["best"] <= LIMIT
    assert "1013 full" in limit["diagnosis"]["resource"]
    assert not limit["diagnosis"]["generator"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.slow
def test_tls_and_a_token(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        shlex.split(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
            f"-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout {key} "
            f"-out {certificate}"
        ),
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options = ("--viewers", "3", "--duration", "2")
    with ThrottledServer(tls=context) as server:
        trusted = {"SSL_CERT_FILE": str(certificate), "RELAY_TOKEN": "open-sesame"}
        report = _load(server.port, tmp_path, *options, scheme="wss", **trusted)
        assert report["passed"], report["reasons"]
        assert report["metrics"]["connected"] == 3
        assert server.authorised == server.greeted == 3
        assert "open-sesame" not in json.dumps(report)
        report = _load(server.port, tmp_path, *options, scheme="wss")
    assert "refused>0" in report["broken"]
    assert any("TLS" in why for why in report["reasons"])
