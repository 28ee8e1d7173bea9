"""A cluster of one relay on Linux and one on Windows, through a real NATS server."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple

import pytest

from relay.cluster.counters import Counter
from tests.cluster.conftest import Cluster, Node, cluster
from tests.cluster.watching import watching
from tests.e2e.conftest import StartPublisher
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until, wait_until
from tests.windows.conftest import StartRelay
from tests.windows.windows_relay import WindowsRelay

__all__ = ["cluster"]

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="optional: one of the nodes is on Linux"
)


_LEFT_OUT: Final = (
    "relay_cluster_frames_lost",
    "relay_skips",
)


class Pair(NamedTuple):
    """Two nodes that know of each other."""

    here: Node
    there: WindowsRelay

    def left_out(self) -> float:
        """Frames that they say they left out, as they do on a machine that is too busy."""
        numbers = [number for relay in self for number in relay.metrics().items()]
        return sum(value for name, value in numbers if name.startswith(_LEFT_OUT))

    def watchers(self, stream: str) -> list[Viewer]:
        """A viewer at each."""
        return [Viewer(node.address, stream) for node in self]


@pytest.fixture
def pair(cluster: Cluster, start_relay: StartRelay) -> Pair:
    here = cluster.node("here")
    there = start_relay("--cluster", cluster.nats.url, "--cluster-node", "there", workers=1)
    wait_until(lambda: here.number(Counter.NODES) == 2, lambda: f"the node: {there.tail()}")
    wait_until(lambda: there.metrics().get("relay_cluster_nodes") == 2, "the other node")
    return Pair(here, there)


def node_of(relay: WindowsRelay, stream: str) -> str | None:
    """On which other node a live stream is published."""
    found = relay.streams().get(stream)
    if found is None or not found["live"] or found["publisher"]["kind"] != "cluster":
        return None
    return str(found["publisher"]["address"])


def test_streams_cross_both_ways(pair: Pair, cluster: Cluster, publish: StartPublisher) -> None:
    here, there = pair
    cluster.publish(here, "ours")
    publish("shm", "theirs", key_every=100_000)
    here.wait_sees("theirs", "there")
    wait_until(lambda: node_of(there, "ours") == "here", "our stream over there")

    async def watch() -> None:
        viewers = [*pair.watchers("ours"), *pair.watchers("theirs")]
        async with watching(*viewers):
            await until(lambda: all(each.checker.frames > 30 for each in viewers), "frames")
        assert sum(each.checker.lost for each in viewers) <= pair.left_out()

    run(watch())
    second = publish("ws", "ours", url=f"ws://127.0.0.1:{there.port}", live=False)
    wait_until(
        lambda: any("by node 'here'" in each.get("reason", "") for each in second.events),
        lambda: f"the refusal: {second.events}",
    )
    assert not there.errors()


def test_viewers_stay_when_nats_or_the_bridge_is_gone_for_a_while(
    pair: Pair, cluster: Cluster
) -> None:
    here, there = pair
    cluster.publish(here, "ours", key_every=20)
    wait_until(lambda: node_of(there, "ours") == "here", "our stream over there")

    async def watch() -> None:
        viewer = Viewer(there.address, "ours")

        async def more() -> None:
            seen = viewer.checker.frames
            await until(lambda: viewer.checker.frames > seen + 30, lambda: f"more: {there.tail()}")

        async with watching(viewer):
            await more()
            cluster.nats.kill()
            await until(lambda: not there.metrics()["relay_cluster_connected"], "the cut")
            cluster.nats.start()
            await more()
            (bridge,) = there.bridges()
            bridge.kill()
            await until(lambda: there.bridges() not in ([], [bridge]), "another bridge")
            await more()

    run(watch())
