"""How late messages are between clocks that do not agree, and what that says."""

from __future__ import annotations

import pytest

from relay.cluster.delay import CLOCK_STEP, LATE_BYTES, Delay

HOUR = 3_600_000_000


def lag(delay: Delay, *, sent: float, took: float, clock: int = HOUR) -> float:
    """Seconds of lag of a message whose sender's clock is ahead."""
    return delay.lag(int(sent * 1e6) + clock, int((sent + took) * 1e6), sent + took)


def test_the_least_delay_stands_for_none() -> None:
    delay = Delay()
    assert lag(delay, sent=0.0, took=0.05) == 0.0
    assert lag(delay, sent=0.1, took=0.25) == pytest.approx(0.2, abs=0.01)
    assert lag(delay, sent=0.5, took=0.05) == pytest.approx(0.0, abs=0.01)


def test_a_clock_that_was_set_is_seen_where_nothing_can_have_waited() -> None:
    delay = Delay()
    lag(delay, sent=0.0, took=0.05)
    late = CLOCK_STEP + 1.0
    assert lag(delay, sent=1.0, took=late) > CLOCK_STEP
    delay.expect_fresh()
    assert lag(delay, sent=2.0, took=late) == 0.0


def test_only_much_that_is_late_one_after_the_other_is_a_backlog() -> None:
    delay = Delay()
    half = LATE_BYTES // 2
    assert not delay.is_backlog(half, 1.0, 0.5)
    assert not delay.is_backlog(half, 0.1, 0.5)
    assert not delay.is_backlog(half, 1.0, 0.5)
    assert not delay.is_backlog(half, 1.0, 0.5)
    assert delay.is_backlog(1, 1.0, 0.5)
    delay.expect_fresh()
    assert not delay.is_backlog(half, 1.0, 0.5)
