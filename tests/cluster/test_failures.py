"""What breaks in a cluster, who notices, and that viewers stay."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from bus.reclaim import reclaim
from relay.cluster.counters import Counter
from tests.cluster.conftest import Cluster, Node
from tests.cluster.watching import watching
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until, wait_until

Break = Callable[[Cluster, Node, Node], None]


def restart_nats(cluster: Cluster, owner: Node, other: Node) -> None:
    cluster.nats.kill()
    cluster.nats.start()


def kill_owners_bridge(cluster: Cluster, owner: Node, other: Node) -> None:
    owner.bridge().kill()


def kill_receivers_bridge(cluster: Cluster, owner: Node, other: Node) -> None:
    other.bridge().kill()


@pytest.mark.parametrize("breaking", [restart_nats, kill_owners_bridge, kill_receivers_bridge])
def test_viewers_keep_their_sockets_and_go_on(cluster: Cluster, breaking: Break) -> None:
    a, b = cluster.start("a", "b")
    cluster.publish(a, "cam", key_every=20)
    b.wait_sees("cam", "a")

    async def watch() -> None:
        viewers = [Viewer(node.address, "cam") for node in (a, b, b)]
        async with watching(*viewers):
            await until(lambda: all(each.checker.frames > 10 for each in viewers), "frames")
            bridges = {a.bridge().pid, b.bridge().pid}
            reconnects = b.number(Counter.RECONNECTS)
            breaking(cluster, a, b)
            await until(
                lambda: (
                    b.number(Counter.RECONNECTS) > reconnects
                    or {a.bridge().pid, b.bridge().pid} != bridges
                ),
                "what was broken to be back",
            )
            counts = [each.checker.frames for each in viewers]
            await until(
                lambda: all(
                    each.checker.frames > count + 30
                    for each, count in zip(viewers, counts, strict=True)
                ),
                lambda: f"frames again: {b.tail()}",
            )

    run(watch())
    assert b.number(Counter.CORRUPT) == 0


def test_the_streams_of_a_killed_node_vanish_and_can_be_published_elsewhere(
    cluster: Cluster,
) -> None:
    a, b = cluster.start("a", "b")
    publisher = cluster.publish(a, "cam")
    b.wait_sees("cam", "a")
    wait_until(lambda: b.number(Counter.NODES) == 2, "both nodes")

    async def watch() -> None:
        viewer = Viewer(b.address, "cam")
        async with watching(viewer):
            await until(lambda: viewer.checker.frames > 10, "frames")
            # Stopped first: nothing of it acts on the deaths of others.
            for process in a.processes():
                process.suspend()
            for process in a.processes():
                process.kill()
            publisher.kill()
            await until(lambda: b.number(Counter.NODES) == 1, "the node to vanish")
            await until(lambda: b.sees("cam", None), "the stream to vanish")
            await until(lambda: viewer.checker.said[-1] == "ended", "the end")
            mark = cluster.publish(b, "cam").wait_live()["mark"]
            await until(lambda: viewer.checker.mark == mark, "the new publisher's frames")

    run(watch())
    reclaim(a.instance)


def test_a_split_brain_heals_to_the_older_publisher(cluster: Cluster) -> None:
    a, b = cluster.start("a", "b")
    wait_until(lambda: b.number(Counter.NODES) == 2, "both nodes")
    cluster.nats.kill()
    wait_until(lambda: not b.number(Counter.CONNECTED), "the cut")
    older = cluster.publish(b, "cam")
    wait_until(lambda: b.sees("cam", "b"), "the older one")
    # The claim's age counts from when the bridge saw it.
    wait_until(lambda: b.streams()["cam"]["frames"] > 30, "some time")
    younger = cluster.publish(a, "cam")
    cluster.nats.start()
    a.wait_sees("cam", "b")
    wait_until(lambda: younger.count("refused") == 1, "the younger one's end")
    assert "on node 'b'" in next(e["reason"] for e in younger.events if e["event"] == "refused")
    assert older.running
    assert b.sees("cam", "b")
    assert a.number(Counter.CONFLICTS) == 1
    assert b.number(Counter.CONFLICTS) == 0


def test_a_publisher_that_is_killed_and_comes_back_elsewhere_is_followed(cluster: Cluster) -> None:
    a, b, c = cluster.start("a", "b", "c")
    first = cluster.publish(a, "cam")
    c.wait_sees("cam", "a")

    async def watch() -> None:
        viewer = Viewer(c.address, "cam")
        async with watching(viewer):
            await until(lambda: viewer.checker.frames > 10, "frames")
            first.kill()
            await until(lambda: b.sees("cam", None), "the end")
            mark = cluster.publish(b, "cam").wait_live()["mark"]
            await until(lambda: viewer.checker.mark == mark, "frames from the other node")

    run(watch())


def test_a_supervisor_that_is_killed_leaves_no_bridge(cluster: Cluster) -> None:
    a = cluster.node("a")
    bridge = a.bridge()
    a.send_signal(signal.SIGKILL)
    a.wait()
    wait_until(lambda: not bridge.is_running() or bridge.status() == "zombie", "its end")


def test_a_relay_serves_without_nats_and_joins_when_it_comes(cluster: Cluster) -> None:
    a = cluster.node("a")
    cluster.publish(a, "cam")
    cluster.nats.kill()

    async def watch() -> None:
        viewer = Viewer(a.address, "cam")
        async with watching(viewer):
            await until(lambda: viewer.checker.frames > 40, "frames")

    run(watch())
    cluster.nats.start()
    cluster.node("b").wait_sees("cam", "a")


def test_the_younger_of_two_bridges_of_one_name_leaves(cluster: Cluster) -> None:
    a = cluster.node("a")
    twin = cluster.node("a-2", "--cluster-node", "a")
    wait_until(
        lambda: twin.log_lines("another relay is node 'a'", "--cluster-node"),
        lambda: f"the complaint: {twin.tail()}",
    )
    assert not a.log_lines("another relay is node 'a'")
    assert twin.get("/healthz").status == 200
