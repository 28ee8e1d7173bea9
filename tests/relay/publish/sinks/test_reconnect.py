"""The reconnect rule, with time and chance as numbers."""

from __future__ import annotations

import pytest

from relay.publish.sinks.reconnect import (
    BUSY_PATIENCE_S,
    Failure,
    ReconnectPolicy,
    Retry,
    Stop,
)

BROKE = Failure("the connection broke")
BUSY = Failure("stream 'a' is being published by 10.0.0.1", 1008)


def worst_case() -> ReconnectPolicy:
    return ReconnectPolicy(draw=lambda: 1.0)


def test_delays_grow_to_a_cap() -> None:
    policy = worst_case()
    delays = [policy.lost(BROKE, 0.0) for _ in range(7)]
    assert delays == [Retry(s) for s in (0.5, 1, 2, 4, 8, 10, 10)]


def test_jitter_is_full() -> None:
    policy = ReconnectPolicy(draw=lambda: 0.0)
    assert [policy.lost(BROKE, 0.0) for _ in range(3)] == [Retry(0.0)] * 3


def test_a_stable_connection_ends_a_run_of_failures() -> None:
    policy = worst_case()
    for _ in range(5):
        policy.lost(BROKE, 0.0)
    policy.accepted(100.0)
    assert policy.lost(BROKE, 120.0) == Retry(0.5)


def test_a_short_lived_connection_does_not() -> None:
    policy = worst_case()
    policy.lost(BROKE, 0.0)
    policy.accepted(100.0)
    assert policy.lost(BROKE, 100.1) == Retry(1.0)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1009, 1011, 1013, None])
def test_other_endings_are_retried(code: int | None) -> None:
    assert worst_case().lost(Failure("x", code), 0.0) == Retry(0.5)


def test_a_restarting_worker_is_followed_at_once() -> None:
    policy = worst_case()
    for _ in range(5):
        policy.lost(BROKE, 0.0)
    assert policy.lost(Failure("worker restarts", 1012), 0.0) == Retry(0.5)


def test_a_refusal_stops_with_the_relays_reason() -> None:
    assert worst_case().lost(Failure("wrong token", 1008), 0.0) == Stop("wrong token")


def test_a_fatal_handshake_stops() -> None:
    assert worst_case().lost(Failure("no relay here", fatal=True), 0.0) == Stop("no relay here")


class TestBusy:
    def test_at_the_first_connection_it_is_final(self) -> None:
        assert worst_case().lost(BUSY, 0.0) == Stop(BUSY.reason)

    def test_on_a_reconnect_it_is_our_own_shadow_for_a_while(self) -> None:
        policy = worst_case()
        policy.accepted(0.0)
        policy.lost(BROKE, 50.0)
        for now in (51.0, 60.0, 51.0 + BUSY_PATIENCE_S - 0.1):
            answer = policy.lost(BUSY, now)
            assert isinstance(answer, Retry)
            assert answer.delay_s <= 2.0
        assert policy.lost(BUSY, 51.0 + BUSY_PATIENCE_S) == Stop(BUSY.reason)

    def test_patience_begins_anew_after_success(self) -> None:
        policy = worst_case()
        policy.accepted(0.0)
        policy.lost(BUSY, 1.0)
        policy.accepted(5.0)
        assert isinstance(policy.lost(BUSY, 100.0), Retry)

    def test_a_takeover_is_final_even_so(self) -> None:
        policy = worst_case()
        policy.accepted(0.0)
        answer = policy.lost(Failure("taken over by another publisher", 1008), 1.0)
        assert answer == Stop("taken over by another publisher")
