"""How much may be on its way unconfirmed."""

from __future__ import annotations

import pytest

from relay.cluster.window import BEGIN, LEAST, MOST, PATIENCE, Window

RTT = 0.01


def send_full(window: Window, rate: float) -> int:
    """Send until the window closes; a link of ``rate`` bytes a second confirms it."""
    sent = 0
    while window.open:
        window.sent(1000)
        sent += 1000
    window.confirmed(sent, RTT + sent / rate)
    return sent


def test_it_closes_when_it_is_full_and_opens_when_that_is_confirmed() -> None:
    window = Window()
    window.sent(BEGIN - 1)
    assert window.open
    window.sent(1)
    assert not window.open
    window.confirmed(BEGIN, RTT)
    assert window.open
    assert window.unconfirmed == 0


def test_it_grows_to_what_a_fast_link_is_used_for_and_no_further() -> None:
    window = Window()
    for _ in range(100):
        window.sent(1000)
        window.confirmed(1000, RTT)
    assert window.size == BEGIN
    for _ in range(20):
        send_full(window, 1e12)
    assert window.size == MOST


@pytest.mark.parametrize("rate", [1e5, 1e6, 1e7])
def test_it_settles_at_what_a_slow_link_carries_while_we_are_patient(rate: float) -> None:
    window = Window()
    window.sent(1)
    window.confirmed(1, RTT)
    for _ in range(30):
        send_full(window, rate)
    assert window.size == pytest.approx(max(LEAST, rate * PATIENCE), rel=0.2)


def test_a_link_that_recovers_is_used_again() -> None:
    window = Window()
    window.sent(1)
    window.confirmed(1, RTT)
    for _ in range(30):
        send_full(window, 1e5)
    for _ in range(30):
        send_full(window, 1e8)
    assert window.size == MOST


def test_little_that_is_confirmed_late_does_not_close_it() -> None:
    window = Window()
    window.sent(1)
    window.confirmed(1, RTT)
    for _ in range(50):
        window.sent(500)
        window.confirmed(500, 3.0)
    assert window.size == BEGIN
