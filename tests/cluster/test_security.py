"""The shipped NATS configuration: each relay may do what it needs, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from relay.cluster.counters import Counter
from relay.cluster.messages import Announcement, encode
from relay.cluster.subjects import Subjects
from tests.cluster.conftest import Cluster
from tests.cluster.nats_server import NatsServer, program
from tests.cluster.watching import watching
from tests.e2e.relay_process import PROJECT
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until, wait_until

CONFIG = PROJECT / "deploy" / "nats" / "relay.conf"
PASSWORDS = {"NORTH_PASSWORD": "n1", "SOUTH_PASSWORD": "s1", "EDGE_PASSWORD": "e1"}


@pytest.fixture
def guarded(instance: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    for name, value in PASSWORDS.items():
        monkeypatch.setenv(name, value)
    server = NatsServer(tmp_path / "nats.log", config=CONFIG)
    server.start()
    cluster = Cluster(instance, tmp_path, server)
    yield cluster
    left = cluster.clean_up()
    assert not left, f"left behind: {left}"


def test_relays_have_all_the_permissions_that_they_need(guarded: Cluster) -> None:
    north = guarded.node("north", creds="north:n1")
    south = guarded.node("south", creds="south:s1")
    edge = guarded.node("edge", creds="edge:e1")
    guarded.publish(north, "cam", key_every=100_000, serves_keys=True)
    guarded.publish(edge, "lobby")
    for node in (south, edge):
        node.wait_sees("cam", "north")
    south.wait_sees("lobby", "edge")

    async def watch() -> None:
        first, late = Viewer(south.address, "cam"), Viewer(edge.address, "cam")
        other = Viewer(south.address, "lobby")
        async with watching(first, other, later=late):
            await until(lambda: first.checker.frames > 10, "frames")
            late.start()
            await until(lambda: late.checker.frames > 10 and other.checker.frames > 10, "frames")
            keys = late.checker.keys
            late.say(type="key")
            await until(lambda: late.checker.keys > keys, "a key frame")

    run(watch())
    for node in (north, south, edge):
        assert node.number(Counter.REFUSED) == 0


def test_a_node_cannot_publish_a_stream_that_it_may_not(guarded: Cluster) -> None:
    north, edge = guarded.node("north", creds="north:n1"), guarded.node("edge", creds="edge:e1")
    guarded.publish(edge, "cam")
    wait_until(lambda: edge.number(Counter.REFUSED), lambda: f"the refusal: {edge.tail()}")
    assert edge.log_lines("WARNING", "permissions violation", "stream.edge.cam")
    guarded.publish(edge, "lobby")
    north.wait_sees("lobby", "edge")
    assert "cam" not in north.streams()


def test_a_node_cannot_speak_in_the_name_of_another(guarded: Cluster) -> None:
    north = guarded.node("north", creds="north:n1")
    guarded.publish(north, "cam")
    wait_until(lambda: north.sees("cam", "north"), "the stream")

    async def forge() -> list[str]:
        refused: list[str] = []

        async def note(error: Exception) -> None:
            refused.append(str(error))

        client = await nats.connect(guarded.nats.url, user="edge", password="e1", error_cb=note)
        as_south = Subjects("relay", "south")
        forged = encode(Announcement(live=True, term=9))
        for subject in (as_south.stream("cam"), as_south.frames("cam"), as_south.node):
            await client.publish(subject, forged)
        await client.flush()
        await until(lambda: len(refused) >= 3, "three refusals")
        await client.close()
        return refused

    refused = asyncio.run(forge())
    assert all("permissions violation" in each.lower() for each in refused)
    assert north.sees("cam", "north")


def test_wrong_credentials_are_said_in_a_line_and_the_relay_serves_on(guarded: Cluster) -> None:
    node = guarded.node("north", creds="north:wrong", connected=False)
    wait_until(
        lambda: node.log_lines("bridge", "Authorization Violation"),
        lambda: f"the complaint: {node.tail()}",
    )
    assert "north:wrong" not in node.log()
    assert node.get("/healthz").status == 200


def test_over_tls_with_a_certificate_that_is_checked(instance: str, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    options = ("--tls", "--tlscert", str(cert), "--tlskey", str(key))
    server = NatsServer(tmp_path / "nats.log", *options)
    server.start()
    cluster = Cluster(instance, tmp_path, server)
    try:
        url = f"tls://localhost:{server.port}"
        node = cluster.node("a", "--cluster", url, "--cluster-ca", str(cert))
        assert node.number(Counter.CONNECTED) == 1
    finally:
        assert cluster.clean_up() == []
