"""What can be set of a cluster, and what is refused before anything runs."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

from bus.names import check_stream
from relay.cluster.settings import (
    ClusterSettings,
    bridge_command,
    check_cluster,
    credentials,
    node_name,
    tls_context,
)
from relay.config import parse_and_merge
from relay.errors import ConfigError


@pytest.mark.parametrize("url", ["nats://h:4222", "tls://h", "nats://a:1,nats://b:2", ""])
def test_servers_that_are_taken(url: str) -> None:
    assert parse_and_merge(["--cluster", url], {}, "").cluster.cluster == url


@pytest.mark.parametrize("url", ["h:4222", "http://h", "nats://", "nats://a,b"])
def test_what_is_no_server_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match=r"--cluster: .* write nats://host:4222"):
        parse_and_merge(["--cluster", url], {}, "")


@pytest.mark.parametrize("url", ["nats://u:secret@h:4222", "nats://u:secret@"])
def test_credentials_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_and_merge(["--cluster", url], {}, "")
    assert "secret" not in str(refused.value)


def test_a_node_has_its_hosts_name_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_stream(node_name(ClusterSettings()))
    monkeypatch.setattr(socket, "gethostname", lambda: "-süd 1")
    assert node_name(ClusterSettings()) == "s-d-1"
    assert node_name(ClusterSettings(cluster_node="x")) == "x"
    with pytest.raises(ConfigError, match="--cluster-node"):
        parse_and_merge(["--cluster-node", "a b"], {}, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("north:pass:word\n", {"user": "north", "password": "pass:word"}),
        ("SU" + "A" * 56, {"nkeys_seed_str": "SU" + "A" * 56}),
    ],
)
def test_credentials_are_known_by_their_look(
    tmp_path: Path, text: str, expected: dict[str, str]
) -> None:
    path = tmp_path / "creds"
    path.write_text(text)
    assert credentials(ClusterSettings(cluster_creds=str(path))) == expected


def test_a_creds_file_is_named_to_nats(tmp_path: Path) -> None:
    path = tmp_path / "creds"
    path.write_text("-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n")
    found = credentials(ClusterSettings(cluster_creds=str(path)))
    assert found == {"user_credentials": str(path)}


@pytest.mark.parametrize("text", ["", "hunter2", "a:b\nc:d"])
def test_other_credentials_are_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "creds"
    path.write_text(text)
    with pytest.raises(ConfigError, match="user:password in one line") as refused:
        credentials(ClusterSettings(cluster_creds=str(path)))
    assert not text or text not in str(refused.value)


def test_missing_files_are_named() -> None:
    url = "nats://h:4222"
    with pytest.raises(ConfigError, match="--cluster-creds '/no/such' cannot be read"):
        check_cluster(ClusterSettings(cluster=url, cluster_creds="/no/such"))
    with pytest.raises(ConfigError, match="--cluster-ca '/no/such' cannot be used"):
        check_cluster(ClusterSettings(cluster=url, cluster_ca="/no/such"))


def test_without_nats_py_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_cluster(ClusterSettings())
    with pytest.raises(ConfigError, match=r"pip install 'live-frame-relay\[cluster\]'"):
        check_cluster(ClusterSettings(cluster="nats://h:4222"))


def test_tls_is_used_where_it_is_asked_for() -> None:
    assert tls_context(ClusterSettings(cluster="nats://h:4222")) is None
    assert tls_context(ClusterSettings(cluster="nats://h:4222,tls://i:4222")) is not None


def test_the_bridges_command_line_holds_what_was_set_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "creds"
    path.write_text("u:secret")
    settings = ClusterSettings(cluster="nats://h:4222", cluster_creds=str(path))
    command = bridge_command("lab", settings, 1 << 20, "info", "text")
    assert command[command.index("--cluster-creds") + 1] == str(path)
    assert command[command.index("--cluster") + 1] == "nats://h:4222"
    assert "secret" not in " ".join(command)
