"""What a viewer sees, how long it sees nothing, and which rules it finds broken."""

from __future__ import annotations

import pytest

from relay.load.counts import Counts, Outage
from relay.load.known import KnownFrame
from relay.load.watching import Clocks, Watching

SECOND = 1_000_000
T0 = 1_700_000_000 * SECOND


class Scene:
    """A viewer, with time that is told."""

    def __init__(self, clocks: Clocks = Clocks.OTHERS) -> None:
        self.counts = Counts()
        self.outages: list[Outage] = []
        self.watching = Watching(7, self.counts, self.outages.append, clocks)

    def hello(self, worker: int = 0, offset_us: int = 0) -> None:
        said = {"server_us": T0, "offset_us": offset_us, "worker": worker}
        self.watching.hello(said, T0)

    def frame(self, seq: int, at_us: int, *, key: bool = False, captured_us: int = 0) -> None:
        known = KnownFrame(seq, captured_us or at_us, int(key), 0, 0)
        self.watching.frame(known, True, at_us)

    @property
    def complaints(self) -> list[str]:
        return [why.removeprefix("invalid: ") for why in self.counts.reasons]


@pytest.fixture
def scene() -> Scene:
    found = Scene()
    found.watching.asks(T0)
    found.hello()
    return found


def test_in_order(scene: Scene) -> None:
    for seq in range(100):
        scene.frame(seq, T0 + seq * 33_000, key=seq == 0)
    assert (scene.counts.frames, scene.counts.skipped, scene.counts.invalid) == (100, 0, 0)
    assert scene.outages == []


def test_skips_to_a_key_frame_are_counted(scene: Scene) -> None:
    scene.frame(10, T0, key=True)
    scene.frame(15, T0, key=True)
    assert (scene.counts.skipped, scene.counts.invalid) == (4, 0)


@pytest.mark.parametrize(
    ("seqs", "complaint"),
    [
        ([(4, False)], "a delta frame where a key frame was due"),
        ([(4, True), (6, False)], "a delta frame where a key frame was due"),
        ([(4, True), (3, True)], "a frame that is older than the one before it"),
    ],
)
def test_rules(scene: Scene, seqs: list[tuple[int, bool]], complaint: str) -> None:
    for seq, key in seqs:
        scene.frame(seq, T0, key=key)
    assert scene.complaints == [complaint]


def test_a_frame_before_the_hello() -> None:
    scene = Scene()
    scene.frame(1, T0, key=True)
    assert scene.complaints == ["a frame without a hello"]


def test_a_hidden_tab_gets_nothing_but_what_was_on_its_way(scene: Scene) -> None:
    scene.frame(0, T0, key=True)
    scene.watching.hide(T0)
    scene.frame(1, T0 + SECOND // 2)
    assert scene.complaints == []
    scene.frame(2, T0 + 3 * SECOND)
    assert scene.complaints == ["a frame for a hidden tab"]


def test_a_tab_that_comes_back_starts_at_a_key_frame_and_missed_nothing(scene: Scene) -> None:
    scene.frame(9, T0, key=True)
    scene.watching.hide(T0)
    scene.watching.show(T0 + 9 * SECOND)
    scene.frame(5, T0 + 9 * SECOND, key=True)
    assert scene.complaints == []
    assert scene.counts.skipped == 0
    assert scene.outages == []


def test_latency_is_told_on_one_clock(scene: Scene) -> None:
    """The viewer's clock is 5 s behind the relay's, the publisher's 2 s ahead of it."""
    scene.hello(offset_us=2 * SECOND)
    scene.watching.pong({"t0": T0, "t1": T0 + 5 * SECOND + 500}, T0 + 1000)
    relay_us = T0 + 6 * SECOND
    captured_us = relay_us + 2 * SECOND
    scene.frame(0, relay_us - 5 * SECOND + 30_000, key=True, captured_us=captured_us)
    assert scene.counts.latency_us.percentile(50) == pytest.approx(30_000, rel=0.011)


def test_a_clock_that_is_the_viewers_own_needs_no_estimate() -> None:
    """A publisher in the load test itself; the relay may be anywhere, with any clock."""
    scene = Scene(Clocks.PUBLISHER)
    scene.hello(offset_us=-7 * SECOND)
    scene.watching.pong({"t0": T0, "t1": T0 + 9 * SECOND, "offset_us": 5}, T0 + 1000)
    scene.frame(0, T0 + 50_000, key=True, captured_us=T0 + 20_000)
    assert scene.counts.latency_us.percentile(50) == pytest.approx(30_000, rel=0.011)


def test_what_is_older_than_the_viewer_has_no_latency(scene: Scene) -> None:
    scene.watching.pong({"t0": T0, "t1": T0}, T0)
    scene.frame(0, T0 + 10, key=True, captured_us=T0 - 1)
    assert scene.counts.latency_us.count == 0


def test_the_first_picture_ends_the_wait_for_it(scene: Scene) -> None:
    scene.frame(0, T0 + 250_000, key=True)
    assert scene.counts.join_us.percentile(50) == pytest.approx(250_000, rel=0.011)


class TestOutages:
    """Who was affected, and for how long."""

    def test_a_lost_connection(self, scene: Scene) -> None:
        scene.frame(0, T0, key=True)
        scene.watching.loses()
        scene.hello(worker=1)
        scene.frame(9, T0 + 400_000, key=True)
        assert scene.outages == [Outage(7, T0, 0.4, "lost", 0, over=True)]

    def test_a_lost_publisher(self, scene: Scene) -> None:
        scene.frame(0, T0, key=True)
        scene.watching.ended()
        scene.hello()
        scene.frame(1, T0 + 700_000, key=True)
        assert scene.outages == [Outage(7, T0, 0.7, "ended", 0, over=True)]

    def test_a_frozen_picture(self, scene: Scene) -> None:
        scene.frame(0, T0, key=True)
        scene.watching.look(T0 + SECOND)
        assert scene.counts.frozen == 0
        for at in (2, 3):
            scene.watching.look(T0 + at * SECOND)
            assert (scene.counts.frozen, scene.counts.freeze) == (1, 1)
        scene.frame(1, T0 + 4 * SECOND)
        assert (scene.counts.frozen, scene.counts.freeze) == (0, 1)
        assert scene.outages == [Outage(7, T0, 4.0, "frozen", 0, over=True)]

    def test_one_that_is_over_before_anybody_looks(self, scene: Scene) -> None:
        scene.frame(0, T0, key=True)
        scene.frame(1, T0 + SECOND + SECOND // 10)
        assert (scene.counts.frozen, scene.counts.freeze) == (0, 1)
        assert scene.outages == [Outage(7, T0, 1.1, "frozen", 0, over=True)]

    def test_one_that_is_not_over(self, scene: Scene) -> None:
        scene.frame(0, T0, key=True)
        scene.watching.loses()
        scene.watching.end(T0 + 3 * SECOND)
        assert scene.outages == [Outage(7, T0, 3.0, "lost", 0, over=False)]

    def test_who_leaves_misses_nothing(self, scene: Scene) -> None:
        scene.frame(0, T0, key=True)
        scene.watching.leaves()
        scene.watching.asks(T0 + 8 * SECOND)
        scene.hello()
        scene.frame(9, T0 + 9 * SECOND, key=True)
        scene.watching.end(T0 + 9 * SECOND)
        assert scene.outages == []
