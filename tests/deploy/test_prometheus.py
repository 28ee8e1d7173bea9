"""A real Prometheus with the shipped configuration, before a real relay with viewers.

What the dashboard and the alerts ask is asked here: a name or a label that no relay exports
would give an empty answer.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgpack
import pytest
import yaml
from websockets.sync.client import connect

from tests.cluster.nats_server import NatsServer, free_port
from tests.deploy.files import DEPLOY, adapted, program
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import wait_until

SERIES: Final = re.compile(r"\b(?:relay_\w+|instance:[\w:]+|up\b)(?:{[^}]*})?")
RANGE: Final = "10s"
"""What Grafana makes of ``$__rate_interval``: a few scrapes."""
_VARIABLES: Final = {"$__rate_interval": RANGE, "$instance": ".*"}


class Prometheus:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, path: str, **query: str) -> Any:
        """The ``data`` of its answer; a query that is wrong fails the test."""
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{query}: {exc.read().decode()}") from None

    def labels(self, expression: str) -> list[set[str]]:
        """Labels of each series that an expression gives."""
        for variable, value in _VARIABLES.items():
            expression = expression.replace(variable, value)
        return [set(row["metric"]) for row in self.ask("query", query=expression)["result"]]


@pytest.fixture
def relay(
    start_relay: StartRelay, publish: StartPublisher, tmp_path: Path
) -> Iterator[RelayProcess]:
    """A node of a cluster, with a stream and viewers who report how late it is painted."""
    nats = NatsServer(tmp_path / "nats.log")
    nats.start()
    relay = start_relay("--cluster", nats.url, "--cluster-node", "a", workers=2)
    publish("shm", "cam0")
    with ExitStack() as stack:
        stack.callback(nats.kill)
        for _ in range(4):
            url = f"ws://127.0.0.1:{relay.port}/view/cam0"
            viewer = stack.enter_context(connect(url, max_queue=None))
            report = {"type": "stats", "decoded": 1, "dropped": 0, "latency_ms": 40.0}
            viewer.send(msgpack.packb(report))
        yield relay


@pytest.fixture
def prometheus(relay: RelayProcess, tmp_path: Path) -> Iterator[Prometheus]:
    """Scrapes the relay, oftener than the shipped configuration."""
    port = free_port()
    changes = {"interval: 15s": "interval: 1s", "relay:8765": f"127.0.0.1:{relay.port}"}
    (tmp_path / "prometheus.yml").write_text(adapted("prometheus/prometheus.yml", changes))
    shutil.copy(DEPLOY / "prometheus/relay.rules.yml", tmp_path)
    process = subprocess.Popen(
        [
            program("prometheus"),
            "--config.file=prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = Prometheus(port)
        wait_until(lambda: process.poll() is not None or found.ready(), "Prometheus")
        assert process.poll() is None
        yield found
    finally:
        process.terminate()
        process.wait(30)


def test_panels_show_something(prometheus: Prometheus) -> None:
    board = json.loads((DEPLOY / "grafana/dashboards/relay.json").read_text())
    targets = [target for panel in board["panels"] for target in panel.get("targets", [])]

    def empty() -> list[str]:
        return [each["expr"] for each in targets if not prometheus.labels(each["expr"])]

    wait_until(lambda: not empty(), lambda: f"an answer to each of {empty()}")
    for each in targets:
        shown = set(re.findall(r"{{(\w+)}}", each["legendFormat"]))
        assert all(shown <= labels for labels in prometheus.labels(each["expr"])), each["expr"]
    for variable in board["templating"]["list"]:
        values = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
        assert values is not None
        assert all(values[2] in labels for labels in prometheus.labels(values[1]))
    # Nothing has happened that there would be a note about; without its comparison it is a number.
    for note in board["annotations"]["list"]:
        (found, *_) = prometheus.labels(re.sub(r" (>|==) 0$", "", note["expr"]))
        assert set(re.findall(r"{{(\w+)}}", note["titleFormat"])) <= found


def test_alerts_have_something_to_look_at(prometheus: Prometheus) -> None:
    """In each place of their conditions; only the certificate's needs TLS."""
    shipped = yaml.safe_load((DEPLOY / "prometheus/relay.rules.yml").read_text())
    rules = [rule for group in shipped["groups"] for rule in group["rules"]]
    (group,) = prometheus.ask("rules")["groups"]
    assert len(group["rules"]) == len(rules)
    for rule in rules:
        asked = [each for each in SERIES.findall(rule["expr"]) if "certificate" not in each]
        for series in asked:
            wait_until(partial(prometheus.labels, series), f"{series}, for {rule}")
        used = set(re.findall(r"\$labels\.(\w+)", str(rule.get("annotations"))))
        for series in asked[:1]:
            assert all(used <= labels for labels in prometheus.labels(series)), rule
