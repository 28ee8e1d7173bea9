"""Two and three relays that serve the same streams, through a real NATS server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bus import Publisher, StreamBusy
from relay.cluster.counters import Counter
from tests.cluster.conftest import Cluster, Node, nats_cluster
from tests.cluster.watching import watching
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until, wait_until

Pair = tuple[Cluster, Node, Node]


@pytest.fixture(scope="module")
def standing(
    shared_instance: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cluster, list[Node]]]:
    """A cluster of nodes a and b for tests that leave it as it was."""
    directory = tmp_path_factory.mktemp("logs")
    with nats_cluster(shared_instance, directory) as made:
        yield made, made.start("a", "b")


@pytest.fixture
def pair(standing: tuple[Cluster, list[Node]]) -> Iterator[Pair]:
    """That cluster, without publishers at first; each test has a stream of a name of its own."""
    made, (a, b) = standing
    yield made, a, b
    made.stop_publishers()


def test_a_stream_is_listed_everywhere_with_its_node_while_it_lives(cluster: Cluster) -> None:
    a, b = cluster.start("a", "b.2")
    publisher = cluster.publish(b, "cam.0")
    a.wait_sees("cam.0", "b.2")
    seen = a.streams()["cam.0"]
    assert (seen["codec"], seen["width"], seen["height"]) == ("avc1.42e01e", 640, 360)
    assert seen["publisher"]["kind"] == "cluster"
    assert b.streams()["cam.0"]["publisher"]["kind"] == "shm"
    publisher.stop()
    a.wait_sees("cam.0", None)


def test_a_stream_crosses_once_for_all_viewers_and_only_while_there_are_any(
    cluster: Cluster,
) -> None:
    a, b = cluster.node("a", "--cluster-grace", "0.2"), cluster.node("b")
    publisher = cluster.publish(b, "cam")
    a.wait_sees("cam", "b")
    assert b.number(Counter.FRAMES_SENT) == 0

    async def watch() -> list[Viewer]:
        viewers = [Viewer(a.address, "cam") for _ in range(5)]
        async with watching(*viewers):
            await until(lambda: all(each.checker.frames > 30 for each in viewers), "frames")
            assert a.number(Counter.PULLED_STREAMS) == 1
            # Each node's own, the stream's, and one that is ready for the next stream.
            await until(lambda: cluster.nats.connections() == 2 * 3, "connections")
        return viewers

    viewers = run(watch())
    mark = publisher.wait_live()["mark"]
    for viewer in viewers:
        assert viewer.checker.violations == []
        assert viewer.checker.lost == 0
        assert viewer.checker.mark == mark
    wait_until(lambda: b.number(Counter.SENT_STREAMS) == 0, "the end of sending")
    wait_until(lambda: cluster.nats.connections() == 2 * 2, "the end of its connections")
    # Once for all of them, and a few that were on their way when the last one left.
    received = a.number(Counter.FRAMES_RECEIVED)
    assert received <= b.number(Counter.FRAMES_SENT) < 2 * received


def test_a_node_that_joins_late_gets_the_group_of_pictures_that_others_had(
    cluster: Cluster,
) -> None:
    """The publisher makes one key frame only, so nothing else could start a viewer."""
    a, b, c = cluster.start("a", "b", "c")
    cluster.publish(a, "cam", key_every=100_000)
    for node in (b, c):
        node.wait_sees("cam", "a")

    async def watch() -> None:
        first, late = Viewer(b.address, "cam"), Viewer(c.address, "cam")
        async with watching(first, later=late):
            await until(lambda: first.checker.frames > 20, "frames of the first")
            late.start()
            await until(lambda: late.checker.frames > 40, "frames of the late one")
        for viewer in (first, late):
            assert viewer.checker.lost == 0
            assert viewer.visit.first_seq == 0
        assert first.checker.said.count("hello") == 1

    run(watch())
    assert a.number(Counter.REPLAYS) >= 1


def test_a_viewers_request_for_a_key_frame_reaches_the_publisher(pair: Pair) -> None:
    cluster, a, b = pair
    cluster.publish(a, "key", key_every=100_000, serves_keys=True)
    b.wait_sees("key", "a")

    async def watch() -> None:
        viewer = Viewer(b.address, "key")
        async with watching(viewer):
            await until(lambda: viewer.checker.frames > 5, "frames")
            keys = viewer.checker.keys
            viewer.say(type="key")
            await until(lambda: viewer.checker.keys > keys, "a key frame")

    run(watch())


def test_a_second_publisher_is_refused_with_the_node_of_the_first(pair: Pair) -> None:
    cluster, a, b = pair
    first = cluster.publish(a, "second")
    b.wait_sees("second", "a")
    with pytest.raises(StreamBusy, match="is being published by node 'a'"):
        Publisher("second", codec="mjpeg", instance=b.instance)
    first.stop()
    b.wait_sees("second", None)
    cluster.publish(b, "second")
    a.wait_sees("second", "b")


def test_viewers_keep_their_sockets_when_another_node_takes_the_stream_over(pair: Pair) -> None:
    cluster, a, b = pair
    old = cluster.publish(a, "moved")
    b.wait_sees("moved", "a")

    async def watch() -> None:
        viewers = [Viewer(node.address, "moved") for node in (a, b)]
        async with watching(*viewers):
            await until(lambda: all(each.checker.frames > 5 for each in viewers), "frames")
            mark = cluster.publish(b, "moved", takeover=True).wait_live()["mark"]
            await until(lambda: all(each.checker.mark == mark for each in viewers), "the new one's")

    run(watch())
    wait_until(lambda: old.count("refused") == 1, "the old publisher's end")
    (refusal,) = [each for each in old.events if each["event"] == "refused"]
    assert "on node 'b'" in refusal["reason"]
    a.wait_sees("moved", "b")


def test_a_key_frame_of_two_megabytes_is_split_and_joined(pair: Pair) -> None:
    cluster, a, b = pair
    cluster.publish(a, "large", size=2_000_000, fps=4, key_every=2)
    b.wait_sees("large", "a")

    async def watch() -> None:
        viewer = Viewer(b.address, "large")
        async with watching(viewer):
            await until(lambda: viewer.checker.frames >= 6, "frames")

    run(watch())
    assert b.number(Counter.CORRUPT) == b.number(Counter.INCOMPLETE) == 0


def test_the_bridges_numbers_are_in_the_metrics(pair: Pair) -> None:
    _, a, b = pair
    wait_until(lambda: a.number(Counter.NODES) == 2, "each other")
    metrics = b.metrics()
    assert metrics["relay_cluster_connected"] == 1
    wait_until(lambda: a.metrics()["relay_cluster_nodes"] == 2, "the metrics")
