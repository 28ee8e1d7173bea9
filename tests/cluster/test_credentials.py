"""What ``--cluster-creds`` takes, at servers that want it; and credentials that end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nkeys
import pytest

from relay.cluster.counters import Counter
from tests.cluster.conftest import Cluster, Node
from tests.cluster.keys import Key, creds_file, operator_config
from tests.cluster.nats_server import NatsServer
from tests.e2e.waiting import wait_until

Start = Callable[[str], Cluster]


@pytest.fixture
def start(
    instance: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[str], Cluster]:
    """Starts a cluster whose NATS server has the configuration."""

    def start_with(config: str) -> Cluster:
        path = tmp_path / "nats.conf"
        path.write_text(config)
        server = NatsServer(tmp_path / "nats.log", config=path)
        server.start()
        made = Cluster(instance, tmp_path, server)

        def clean_up() -> None:
            assert made.clean_up() == []

        request.addfinalizer(clean_up)
        return made

    return start_with


def joined(a: Node, b: Node) -> bool:
    return a.number(Counter.NODES) == b.number(Counter.NODES) == 2


def test_nkeys_open_a_server_that_knows_them(start: Start) -> None:
    keys = [Key.make(nkeys.PREFIX_BYTE_USER) for _ in range(3)]
    known = ", ".join(f"{{nkey: {key.public}}}" for key in keys[:2])
    cluster = start(f"authorization: {{ users: [{known}] }}")
    a, b = cluster.node("a", creds=keys[0].seed), cluster.node("b", creds=keys[1].seed)
    wait_until(lambda: joined(a, b), "each other")
    stranger = cluster.node("c", creds=keys[2].seed, connected=False)
    wait_until(lambda: stranger.log_lines("Authorization Violation"), "the refusal")
    for node in cluster.nodes:
        assert not any(key.seed in node.log() for key in keys)


def test_creds_files_open_a_server_of_an_operator(start: Start) -> None:
    account = Key.make(nkeys.PREFIX_BYTE_ACCOUNT)
    cluster = start(operator_config(account))
    a = cluster.node("a", creds=creds_file(account, "a"))
    b = cluster.node("b", creds=creds_file(account, "b"))
    cluster.publish(a, "cam")
    b.wait_sees("cam", "a")
    elsewhere = creds_file(Key.make(nkeys.PREFIX_BYTE_ACCOUNT), "c")
    stranger = cluster.node("c", creds=elsewhere, connected=False)
    wait_until(lambda: stranger.log_lines("Authorization Violation"), "the refusal")


def test_a_password_that_is_changed_and_changed_back(start: Start, tmp_path: Path) -> None:
    config = "authorization: {{ users: [{{user: a, password: {}}}] }}".format
    cluster = start(config("first"))
    node = cluster.node("a", creds="a:first")
    (tmp_path / "nats.conf").write_text(config("second"))
    cluster.nats.reload()
    wait_until(lambda: node.log_lines("ERROR", "NATS ended the connection"), "the end of it")
    assert node.get("/healthz").status == 200
    (tmp_path / "nats.conf").write_text(config("first"))
    cluster.nats.reload()
    wait_until(lambda: node.number(Counter.CONNECTED), lambda: f"NATS again: {node.tail()}")
