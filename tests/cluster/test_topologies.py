"""Relays at NATS servers of their own, which are joined as NATS joins servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.cluster.counters import Counter
from tests.cluster.conftest import Cluster
from tests.cluster.nats_server import NatsServer, free_port
from tests.cluster.watching import watching
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until, wait_until


@dataclass
class Sites:
    """Two NATS servers that know each other, and relays at either.

    Attributes:
        cluster: nodes at the first server.
        away: the second server.
    """

    cluster: Cluster
    away: NatsServer


def leaf(port: int) -> tuple[str, str]:
    """The second server serves a region and fetches from the first."""
    listens = f"leafnodes {{ host: 127.0.0.1, port: {port} }}"
    return listens, f"leafnodes {{ remotes: [{{ url: nats://127.0.0.1:{port} }}] }}"


def routes(port: int) -> tuple[str, str]:
    """Both are one cluster."""
    first = f"cluster {{ name: c, host: 127.0.0.1, port: {port} }}"
    route = f"routes: [nats://127.0.0.1:{port}]"
    return first, f"cluster {{ name: c, host: 127.0.0.1, port: {free_port()}, {route} }}"


def gateways(port: int) -> tuple[str, str]:
    """They are clusters of one server each, joined to a supercluster."""
    second = free_port()
    known = ", ".join(
        f"{{name: {name}, url: nats://127.0.0.1:{at}}}" for name, at in (("a", port), ("b", second))
    )
    first, other = (
        f"gateway {{ name: {name}, host: 127.0.0.1, port: {at}, gateways: [{known}] }}"
        for name, at in (("a", port), ("b", second))
    )
    return first, other


@pytest.fixture(params=[leaf, routes, gateways], ids=lambda each: each.__name__)
def sites(instance: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sites]:
    servers = []
    for name, text in zip(("first", "second"), request.param(free_port()), strict=True):
        config = tmp_path / f"{name}.conf"
        config.write_text(f"server_name: {name}\n{text}\n")
        servers.append(NatsServer(tmp_path / f"{name}.log", config=config))
        servers[-1].start()
    cluster = Cluster(instance, tmp_path, servers[0])
    yield Sites(cluster, servers[1])
    left = cluster.clean_up()
    servers[1].kill()
    assert not left, f"left behind: {left}"


def test_streams_cross_between_servers(sites: Sites) -> None:
    """Also late joiners' groups of pictures, requests for key frames, and ends, both ways."""
    cluster = sites.cluster
    a = cluster.node("a")
    b, c = (cluster.node(name, "--cluster", sites.away.url) for name in "bc")
    publisher = cluster.publish(a, "cam", key_every=100_000, serves_keys=True)
    cluster.publish(b, "other", size=300_000, fps=5, key_every=5)
    for node in (b, c):
        node.wait_sees("cam", "a")
    a.wait_sees("other", "b")

    async def watch() -> None:
        home, first, late = (Viewer(node.address, "cam") for node in (a, b, c))
        back = Viewer(a.address, "other")
        async with watching(home, first, back, later=late):
            await until(lambda: first.checker.frames > 10, "frames")
            late.start()
            await until(lambda: late.checker.frames > 10, "frames of the late one")
            await until(lambda: back.checker.frames > 5, "frames the other way")
            keys = late.checker.keys
            late.say(type="key")
            await until(lambda: late.checker.keys > keys, "a key frame")
            publisher.stop()
            everybody = [each.checker for each in (home, first, late)]
            await until(lambda: all(each.said[-1] == "ended" for each in everybody), "the end")
            # However the news of it came: not ahead of the last frame.
            assert len({each.last_seq for each in everybody}) == 1

    run(watch())
    wait_until(lambda: a.number(Counter.SENT_STREAMS) == 0, "nobody wants what has ended")
    for node in (a, b, c):
        assert node.number(Counter.CORRUPT) == 0
