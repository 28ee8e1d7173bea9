"""Which stream is left when a link falls behind."""

from __future__ import annotations

from relay.cluster.congestion import Congestion


def test_the_one_with_the_most_bytes_of_late() -> None:
    congestion = Congestion()
    assert congestion.is_heaviest("alone")
    congestion.received("big", 1000)
    congestion.received("small", 10)
    assert congestion.is_heaviest("big")
    assert not congestion.is_heaviest("small")
    for _ in range(10):
        congestion.fade()
    congestion.received("small", 10)
    assert congestion.is_heaviest("small")


def test_who_caused_a_backlog_is_remembered_while_it_drains() -> None:
    congestion = Congestion()
    congestion.received("big", 1000)
    congestion.draining = True
    for _ in range(10):
        congestion.fade()
        congestion.received("small", 10)
    assert not congestion.is_heaviest("small")
