"""How long a fan-out lets others run, with time controlled."""

from __future__ import annotations

import pytest

from tests.platforms import WINDOWS

if WINDOWS:
    pytest.skip("optional: io_uring is Linux's", allow_module_level=True)

from workers.engines.uring.turns import Turns

BATCH = 0.0004


class Host:
    """A processor on which others run for so long whenever they may."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.others = 0.0
        self.away = 0.0
        self.turns = Turns(self.give, lambda: self.now)

    def give(self) -> None:
        self.now += self.others
        self.away += self.others

    def fan_out(self, batches: int = 10) -> int:
        """How many turns others had."""
        self.turns.begin()
        given, had = 0, self.away
        for _ in range(batches):
            self.now += BATCH
            self.turns.take()
            given += self.away > had
            had = self.away
        # What the worker does until the next frame is no sending.
        self.now += 0.02
        return given


@pytest.fixture
def host() -> Host:
    return Host()


def test_readers_who_take_less_than_the_sending_always_go_first(host: Host) -> None:
    host.others = BATCH / 2
    assert [host.fan_out() for _ in range(1000)] == [10] * 1000


@pytest.mark.parametrize("batches", [1, 2, 10])
def test_one_who_computes_costs_little(host: Host, batches: int) -> None:
    """Its slices of 4 ms: in a minute less than a thousandth of the time."""
    host.others = 0.004
    began = host.now
    while host.now < began + 60:
        host.fan_out(batches)
    assert 0 < host.away < 0.001 * 60 * 1.5


def test_turns_are_given_again_when_it_has_gone(host: Host) -> None:
    host.others = 0.004
    host.fan_out()
    host.others = BATCH / 2
    assert host.fan_out() == 0
    host.now += 10
    assert host.fan_out() == 10


def test_a_slice_now_and_then_is_no_reason_to_stop(host: Host) -> None:
    for _ in range(100):
        host.others = 0.004
        assert host.fan_out(1) == 1
        host.others = BATCH / 2
        assert host.fan_out(50) == 50


def test_years_of_sending_and_idle_time_save_up_no_more(host: Host) -> None:
    """Of 10 ms, with what the batches earn meanwhile, the third slice is the last."""
    host.others = BATCH / 2
    for _ in range(1000):
        host.fan_out()
    host.others = 0.004
    for _ in range(10):
        host.now += 3600
        assert host.fan_out() == 3
