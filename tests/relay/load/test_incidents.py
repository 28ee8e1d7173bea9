"""Outages of single viewers make one incident, with everybody in it."""

from __future__ import annotations

from relay.load.counts import Outage
from relay.load.incidents import affected, incidents

SECOND = 1_000_000
START = 1_700_000_000 * SECOND


def lost(viewer: int, at: float, seconds: float, worker: int = 0, *, over: bool = True) -> Outage:
    return Outage(viewer, START + round(at * SECOND), seconds, "lost", worker, over)


def test_viewers_of_one_worker() -> None:
    (found,) = incidents([lost(n, 10 + n / 1000, 0.1 * (n + 1)) for n in range(5)], START)
    assert found.at == 10
    assert found.viewers == 5
    assert found.workers == {"0": 5}
    assert round(found.median, 3) == 0.3
    assert found.longest == 0.5
    assert found.open == 0
    assert "5 viewers (5 of worker 0)" in str(found)


def test_who_is_hit_twice_is_one_viewer() -> None:
    (found,) = incidents([lost(1, 10, 0.5), lost(1, 10.6, 2.0), lost(2, 10, 0.5)], START)
    assert found.viewers == 2
    assert found.longest == 2.0


def test_what_lies_apart_or_has_another_cause() -> None:
    frozen = Outage(3, START + 10 * SECOND, 4.0, "frozen", 1, False)
    found = incidents([lost(1, 30, 1), lost(1, 10, 1), frozen], START)
    assert [(each.at, each.cause) for each in found] == [
        (10, "connection lost"),
        (10, "no pictures"),
        (30, "connection lost"),
    ]
    assert found[1].open == 1


def test_how_many_had_no_picture_when() -> None:
    found = affected([lost(1, 10, 1.0), lost(2, 10.5, 1.0), lost(3, 10.5, 0.001)], START)
    assert found == [(0, 0), (10, 1), (10.5, 3), (10.55, 2), (11, 1), (11.5, 0)]
    assert affected([], START) == [(0, 0)]


def test_nothing() -> None:
    assert incidents([], START) == []
