"""What is checked, and not run: units, rules, the dashboard, manifests."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from relay.cluster.counters import Counter
from relay.metrics import metrics_text
from relay.settings import SupervisionSettings
from tests.deploy.files import DEPLOY, adapted, program, run
from tests.relay.factories import stream_info, worker_stats
from workers.settings import ViewerSettings

SHOWN = metrics_text(
    [worker_stats({"engine": 1, "certificate_expires": 1})],
    [stream_info()],
    dict.fromkeys(Counter, 1),
).decode()
METRIC = re.compile(r"\brelay_[a-z_]+")


def exported() -> set[str]:
    return set(re.findall(r"^(relay_[a-z_]+)", SHOWN, re.M))


def dashboard_queries() -> list[str]:
    board = json.loads((DEPLOY / "grafana/dashboards/relay.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


def test_metrics_are_named_as_prometheus_wants_them() -> None:
    run(program("promtool"), "check", "metrics", text=SHOWN)


def test_rules_and_configuration() -> None:
    promtool, where = program("promtool"), DEPLOY / "prometheus"
    run(promtool, "check", "config", "prometheus.yml", cwd=where)
    run(promtool, "test", "rules", "relay.rules.test.yml", cwd=where)


def test_queries_of_the_dashboard_can_be_parsed(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"query:{number}",
            "expr": query.replace("$__rate_interval", "5m").replace("$instance", ".*"),
        }
        for number, query in enumerate(dashboard_queries())
    ]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "x", "rules": rules}]}))
    run(program("promtool"), "check", "rules", str(tmp_path / "queries.yml"))


def test_what_is_asked_for_is_exported() -> None:
    asked = set(METRIC.findall(" ".join(dashboard_queries())))
    rules = yaml.safe_load((DEPLOY / "prometheus/relay.rules.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        asked |= set(METRIC.findall(re.sub(r"instance:relay_[a-z_:]+", "", rule["expr"])))
    assert asked - exported() == set()


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    service = adapted("systemd/relay.service", {"/opt/relay/bin/relay-supervisor": program("true")})
    (tmp_path / "relay.service").write_text(service)
    (tmp_path / "relay.socket").write_text((DEPLOY / "systemd/relay.socket").read_text())
    units = [str(tmp_path / name) for name in ("relay.service", "relay.socket")]
    told = run(program("systemd-analyze"), "verify", "--man=no", *units)
    assert "relay." not in told, told


def test_the_service_is_as_hard_as_the_readme_says() -> None:
    """Exposure in tenths, of a hundred; other versions of systemd weigh a little differently."""
    told = run(
        *(program("systemd-analyze"), "security", "--no-pager", "--offline=yes"),
        *("--threshold=20", str(DEPLOY / "systemd/relay.service")),
    )
    level = re.search(r"Overall exposure level for relay.service: ([\d.]+ \w+)", told)
    assert level is not None, told
    version = run(program("systemd-analyze"), "--version").split()[1]
    readme = " ".join((DEPLOY / "README.md").read_text().split())
    if f"(systemd {version})" in readme:
        assert f"**overall exposure level {level[1]}**" in readme


def test_systemd_waits_until_the_relay_has_drained() -> None:
    text = (DEPLOY / "systemd/relay.service").read_text()
    seconds = {name: int(value) for name, value in re.findall(r"^(\w+)=(\d+)$", text, re.M)}
    assert seconds["TimeoutStopSec"] > ViewerSettings().drain_timeout + 2
    assert seconds["TimeoutStartSec"] > SupervisionSettings().start_timeout
    assert "KillMode=mixed" in text.splitlines()


def manifests() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = list(
        yaml.safe_load_all((DEPLOY / "kubernetes/relay.yaml").read_text())
    )
    return found


@pytest.mark.parametrize("manifest", manifests(), ids=lambda each: each["kind"])
def test_manifests_fit_their_schema(manifest: dict[str, Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    validator.validate(manifest, "1.30", strict=True)


def test_manifests_fit_together() -> None:
    by_kind = {each["kind"]: each for each in manifests()}
    pod = by_kind["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert by_kind[kind]["spec"]["selector"]["matchLabels"] == labels
    assert by_kind["Service"]["spec"]["selector"] == labels
    target = by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == by_kind["Deployment"]["metadata"]["name"]
    stop = pod["spec"]["terminationGracePeriodSeconds"]
    assert stop > 5 + ViewerSettings().drain_timeout + 2


def test_the_compose_file_names_files_that_exist() -> None:
    where = DEPLOY / "docker"
    services = yaml.safe_load((where / "compose.yaml").read_text())["services"]
    for service in services.values():
        for volume in service.get("volumes", []):
            assert (where / volume.split(":")[0]).exists(), volume
    assert "seccomp:seccomp.json" in services["relay"]["security_opt"]
    assert (where.parents[1] / services["relay"]["build"]["dockerfile"]).exists()


def test_the_table_of_the_readme_is_what_its_formula_gives() -> None:
    printed = run(sys.executable, "sizing.py")
    assert printed in (DEPLOY / "README.md").read_text()
