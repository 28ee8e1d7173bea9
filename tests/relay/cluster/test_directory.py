"""Who lives, who publishes, who owns."""

from __future__ import annotations

from dataclasses import replace

from relay.cluster.directory import (
    EXPIRY,
    MAX_NODES,
    MAX_STREAMS,
    Claim,
    ClusterDirectory,
)
from relay.cluster.messages import Announcement

LIVE = Announcement(live=True, since=100)


def owner_of(directory: ClusterDirectory, stream: str = "cam") -> str | None:
    claim = directory.owner(stream)
    return claim.node if claim else None


def test_nodes_and_streams_are_there_while_they_are_heard_of() -> None:
    directory = ClusterDirectory()
    assert directory.heard_node("a", 1, 0.0)
    directory.heard_stream("a", "cam", LIVE, 0.0)
    assert directory.heard_node("b", 1, EXPIRY)
    directory.expire(EXPIRY)
    assert (directory.nodes, owner_of(directory)) == (["a", "b"], "a")
    directory.expire(EXPIRY + 0.1)
    assert (directory.nodes, owner_of(directory)) == (["b"], None)


def test_a_node_is_new_once_for_each_start() -> None:
    directory = ClusterDirectory()
    assert [directory.heard_node("a", boot, 0.0) for boot in (1, 1, 2, 2)] == [
        True,
        False,
        True,
        False,
    ]


def test_an_end_is_believed_at_once() -> None:
    directory = ClusterDirectory()
    directory.heard_stream("a", "cam", LIVE, 0.0)
    ended = replace(LIVE, live=False)
    directory.heard_stream("a", "cam", ended, 0.0)
    directory.heard_stream("a", "never", ended, 0.0)
    assert directory.owners() == {}


def test_an_end_that_comes_late_ends_no_later_claim() -> None:
    directory = ClusterDirectory()
    directory.heard_stream("a", "cam", replace(LIVE, since=101), 0.0)
    directory.heard_stream("a", "cam", replace(LIVE, live=False), 0.0)
    assert owner_of(directory) == "a"


def test_the_oldest_claim_owns_then_the_first_by_name() -> None:
    directory = ClusterDirectory()
    directory.heard_stream("b", "cam", LIVE, 0.0)
    directory.heard_stream("c", "cam", replace(LIVE, since=99), 0.0)
    assert owner_of(directory) == "c"
    directory.heard_stream("c", "cam", LIVE, 0.0)
    assert owner_of(directory) == "b"


def test_a_higher_term_owns_whatever_its_age() -> None:
    directory = ClusterDirectory()
    directory.heard_stream("a", "cam", LIVE, 0.0)
    assert directory.next_term("cam") == 1
    assert directory.next_term("other") == 0
    directory.heard_stream("z", "cam", replace(LIVE, term=1, since=500), 0.0)
    assert owner_of(directory) == "z"


def test_ranks_are_the_same_wherever_they_are_compared() -> None:
    claims = [
        Claim("a", replace(LIVE, since=2)),
        Claim("b", replace(LIVE, since=1)),
        Claim("c", replace(LIVE, term=3, since=9)),
    ]
    assert [each.node for each in sorted(claims, key=lambda each: each.rank)] == ["c", "b", "a"]


def test_however_many_are_announced_it_holds_no_more_than_its_limits() -> None:
    directory = ClusterDirectory()
    for number in range(MAX_NODES + 10):
        directory.heard_node(f"n{number}", 1, 0.0)
        directory.heard_stream(f"n{number}", "cam", LIVE, 0.0)
    for number in range(MAX_STREAMS + 10):
        directory.heard_stream("n0", f"s{number}", LIVE, 0.0)
    assert len(directory.nodes) == MAX_NODES
    assert len(directory.owners()) == MAX_STREAMS
    # Who is known already goes on to be.
    directory.heard_node("n0", 1, EXPIRY)
    directory.heard_stream("n0", "cam", LIVE, EXPIRY)
    directory.expire(EXPIRY + 0.1)
    assert (directory.nodes, owner_of(directory)) == (["n0"], "n0")
