"""Pacing, with a clock that passes only in sleeps."""

from __future__ import annotations

import pytest

from relay.publish.sources.pacer import MAX_LATE_S, Pacer
from tests.relay.publish.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pacer(clock: FakeClock) -> Pacer:
    return Pacer(clock.sleep, clock)


def test_frames_are_as_far_apart_as_their_times(pacer: Pacer, clock: FakeClock) -> None:
    for number in range(4):
        assert pacer.wait(5_000_000 + number * 40_000)
    assert clock.slept == pytest.approx([0, 0.04, 0.04, 0.04])


def test_time_spent_elsewhere_is_taken_off(pacer: Pacer, clock: FakeClock) -> None:
    pacer.wait(0)
    clock.now += 0.03
    pacer.wait(40_000)
    assert clock.slept[-1] == pytest.approx(0.01)


def test_a_little_late_is_caught_up(pacer: Pacer, clock: FakeClock) -> None:
    pacer.wait(0)
    clock.now += 0.1
    for due_us in (40_000, 80_000, 120_000):
        pacer.wait(due_us)
    assert clock.slept[1:] == pytest.approx([0, 0, 0.02])
    assert pacer.stalls == 0


def test_a_stall_is_not_followed_by_a_burst(pacer: Pacer, clock: FakeClock) -> None:
    pacer.wait(0)
    clock.now += 0.04 + MAX_LATE_S + 0.01
    for due_us in (40_000, 80_000, 120_000):
        pacer.wait(due_us)
    assert clock.slept[1:] == pytest.approx([0, 0.04, 0.04])
    assert pacer.stalls == 1


def test_a_stop_is_passed_on(pacer: Pacer, clock: FakeClock) -> None:
    clock.stopped = True
    assert not pacer.wait(0)
