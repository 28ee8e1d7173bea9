"""The examples for several hosts: checked, and the arithmetic against its simulation."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import astuple
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from relay.cluster.settings import ClusterSettings
from relay.metrics import metrics_text
from relay.options import options_of
from tests.deploy.files import DEPLOY, adapted, program, run
from tests.relay.factories import worker_stats

WHERE = DEPLOY / "cluster"


def manifests() -> list[dict[str, Any]]:
    text = (DEPLOY / "kubernetes/cluster.yaml").read_text()
    found: list[dict[str, Any]] = list(yaml.safe_load_all(text))
    return found


@pytest.mark.parametrize(
    "manifest", manifests(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}"
)
def test_manifests_fit_their_schema(manifest: dict[str, Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate")
    validator.validate(manifest, "1.30", strict=True)


def test_manifests_fit_together() -> None:
    relay = next(each for each in manifests() if each["kind"] == "Deployment")
    nats = next(each for each in manifests() if each["kind"] == "StatefulSet")
    (container,) = relay["spec"]["template"]["spec"]["containers"]
    variables = {option.variable for option in options_of("cluster", ClusterSettings)}
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert given.keys() <= variables
    assert given["RELAY_CLUSTER"] == f"nats://{nats['spec']['serviceName']}:4222"
    mounts = {each["name"] for each in container["volumeMounts"]}
    assert mounts == {each["name"] for each in relay["spec"]["template"]["spec"]["volumes"]}


def test_nats_takes_the_configuration_of_the_manifest(tmp_path: Path) -> None:
    config = next(each for each in manifests() if each["kind"] == "ConfigMap")
    (tmp_path / "nats.conf").write_text(
        config["data"]["nats.conf"].replace("$RELAY_PASSWORD", '"x"')
    )
    told = run(program("nats-server"), "-t", "-c", str(tmp_path / "nats.conf"))
    assert "is valid" in told


def test_the_compose_file_names_what_exists() -> None:
    services = yaml.safe_load((WHERE / "compose.yaml").read_text())["services"]
    variables = {option.variable for option in options_of("cluster", ClusterSettings)}
    users = re.findall(r"user: (\w+)", (DEPLOY / "nats/relay.conf").read_text())
    relays = {name for name, each in services.items() if "build" in each}
    assert relays == set(users)
    for name in relays:
        environment = services[name]["environment"]
        assert environment.keys() <= variables
        assert environment["RELAY_CLUSTER_NODE"] == name
        assert (WHERE / services[name]["build"]["context"] / "deploy/docker/Dockerfile").exists()
    for service in services.values():
        for volume in service.get("volumes", []):
            assert (WHERE / volume.split(":")[0]).exists(), volume


def test_haproxy_takes_its_configuration(tmp_path: Path) -> None:
    hosts = {f" {name}:8765": " 127.0.0.1:8765" for name in ("north", "south", "edge")}
    (tmp_path / "haproxy.cfg").write_text(adapted("cluster/haproxy.cfg", hosts))
    run(program("haproxy"), "-c", "-f", str(tmp_path / "haproxy.cfg"))


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulate", WHERE / "simulate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate"] = module
    spec.loader.exec_module(module)
    return module


def test_the_simulation_agrees_with_the_formula(simulation: ModuleType) -> None:
    for plan in simulation.PLANS[:2]:
        pairs = zip(
            astuple(simulation.expected(plan)), astuple(simulation.simulate(plan)), strict=True
        )
        for formula, drawn in pairs:
            # The formula is a mean, the simulation the worst of its relays.
            assert formula * 0.95 <= drawn <= formula * 1.15


def test_a_stream_that_everybody_watches_crosses_once_for_a_relay(simulation: ModuleType) -> None:
    found = simulation.simulate(simulation.Plan(50_000, 5, 1))
    assert found.into_relay == found.into_region == simulation.MBIT
    assert found.without_leaf == simulation.MBIT * found.relays / 5


def test_the_table_of_the_page_is_what_the_simulation_prints(simulation: ModuleType) -> None:
    page = (WHERE / "README.md").read_text()
    for row in simulation.table(simulation.PLANS[:2]).splitlines():
        assert row in page


def test_metrics_that_the_page_names_are_exported() -> None:
    from relay.cluster.counters import Counter

    numbers = dict.fromkeys(Counter, 1)
    shown = metrics_text([worker_stats({"engine": 1})], [], numbers).decode()
    named = re.findall(r"`(relay_cluster_\w+)`", (WHERE / "README.md").read_text())
    assert named
    assert set(named) <= set(re.findall(r"^(relay_\w+)", shown, re.M))
