"""Deadlines on a wheel of ticks: never early, at most a tick late, each once."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from workers.deadlines import TICK, Deadlines


class Recorder:
    """Remembers when it was checked, and answers what the test says."""

    def __init__(self, answer: Callable[[float], float | None] = lambda now: None) -> None:
        self.checked: list[float] = []
        self.answer = answer

    def check(self, now: float) -> float | None:
        self.checked.append(now)
        return self.answer(now)


def run_until(deadlines: Deadlines, end: float, begin: float = 0.0) -> None:
    """Ticks as a worker's loop makes them."""
    for tick in range(round((end - begin) / TICK) + 1):
        deadlines.run(begin + tick * TICK)


class TestChecks:
    """When something is checked."""

    def test_not_before_its_time(self) -> None:
        deadlines, watched = Deadlines(0.0), Recorder()
        deadlines.watch(watched, 1.05)
        run_until(deadlines, 1.0)
        assert watched.checked == []
        deadlines.run(1.3)
        assert watched.checked == [1.3]

    def test_a_past_time_is_the_next_tick(self) -> None:
        deadlines, watched = Deadlines(100.0), Recorder()
        deadlines.watch(watched, 3.0)
        deadlines.run(100.0 + TICK)
        assert len(watched.checked) == 1

    def test_once_and_then_forgotten(self) -> None:
        deadlines, watched = Deadlines(0.0), Recorder()
        deadlines.watch(watched, 1.0)
        run_until(deadlines, 5.0)
        assert len(watched.checked) == 1
        assert len(deadlines) == 0

    def test_again_when_it_says_so(self) -> None:
        deadlines, watched = Deadlines(0.0), Recorder(lambda now: now + 1.0)
        deadlines.watch(watched, 1.0)
        run_until(deadlines, 10.0)
        assert 8 <= len(watched.checked) <= 9
        assert len(deadlines) == 1

    def test_a_later_request_moves_it(self) -> None:
        deadlines, watched = Deadlines(0.0), Recorder()
        deadlines.watch(watched, 1.0)
        deadlines.watch(watched, 3.0)
        run_until(deadlines, 2.8)
        assert watched.checked == []
        deadlines.watch(watched, 2.9)
        deadlines.run(3.2)
        assert watched.checked == [3.2]

    def test_forgotten_is_not_checked(self) -> None:
        deadlines, watched, other = Deadlines(0.0), Recorder(), Recorder()
        deadlines.watch(watched, 1.0)
        deadlines.watch(other, 1.0)
        deadlines.forget(watched)
        deadlines.forget(watched)
        run_until(deadlines, 2.0)
        assert watched.checked == []
        assert len(other.checked) == 1

    def test_after_a_stall_everything_once(self) -> None:
        """A process that was stopped for an hour does not make up for every tick of it."""
        deadlines = Deadlines(0.0)
        watched = [Recorder() for _ in range(50)]
        for number, one in enumerate(watched):
            deadlines.watch(one, number * 10.0)
        deadlines.run(3600.0)
        assert all(one.checked == [3600.0] for one in watched)


class TestWithinChecks:
    """What a check may do to others."""

    def test_forget_one_that_is_due_too(self) -> None:
        deadlines = Deadlines(0.0)
        first, second = Recorder(), Recorder()

        def forget_the_other(now: float) -> None:
            deadlines.forget(first if second.checked else second)

        first.answer = second.answer = forget_the_other
        deadlines.watch(first, 1.0)
        deadlines.watch(second, 1.0)
        deadlines.run(2.0)
        assert len(first.checked) + len(second.checked) == 1
        assert len(deadlines) == 0

    def test_move_one_that_is_due_too(self) -> None:
        deadlines = Deadlines(0.0)
        first, second = Recorder(), Recorder()

        def move_the_other(now: float) -> None:
            deadlines.watch(first if second.checked else second, 10.0)

        first.answer = second.answer = move_the_other
        deadlines.watch(first, 1.0)
        deadlines.watch(second, 1.0)
        deadlines.run(2.0)
        assert len(first.checked) + len(second.checked) == 1
        first.answer = second.answer = lambda now: None
        deadlines.run(11.0)
        assert len(first.checked) + len(second.checked) == 2
        assert len(deadlines) == 0

    def test_watch_oneself(self) -> None:
        deadlines = Deadlines(0.0)
        watched = Recorder()

        def later(now: float) -> float:
            deadlines.watch(watched, now + 5.0)
            return now + 1.0

        watched.answer = later
        deadlines.watch(watched, 1.0)
        deadlines.run(2.0)
        assert len(deadlines) == 1
        watched.answer = lambda now: None
        run_until(deadlines, 20.0, begin=2.0)
        assert len(watched.checked) == 2

    def test_watch_somebody_new(self) -> None:
        deadlines = Deadlines(0.0)
        late = Recorder()
        early = Recorder(lambda now: deadlines.watch(late, now))
        deadlines.watch(early, 1.0)
        deadlines.run(2.0)
        assert late.checked == []
        deadlines.run(2.0 + TICK)
        assert len(late.checked) == 1


@given(st.floats(0, 1e6), st.lists(st.floats(0, 30), min_size=1, max_size=20))
def test_never_early_and_at_most_a_tick_late(begin: float, delays: list[float]) -> None:
    deadlines = Deadlines(begin)
    watched = {Recorder(): begin + delay for delay in delays}
    for one, when in watched.items():
        deadlines.watch(one, when)
    now = begin
    while now < begin + 31:
        now += TICK
        deadlines.run(now)
    for one, when in watched.items():
        (checked,) = one.checked
        assert when - 1e-6 <= checked <= when + 2 * TICK + 1e-6
