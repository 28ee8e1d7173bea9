"""When a dead worker is started again."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.restart_policy import (
    BURST,
    EXIT_CANNOT_START,
    STEADY_INTERVAL,
    Exit,
    Restart,
    RestartPolicy,
    Stop,
)
from relay.settings import SupervisionSettings
from relay.system import SIGKILL
from tests.platforms import posix_only

SETTINGS = SupervisionSettings(restart_backoff=0.25, restart_backoff_max=3.0, crash_limit=6)
FAILED = Exit(1, ready=False)
CRASHED = Exit(-signal.SIGSEGV, ready=True)
KILLED = Exit(-SIGKILL, ready=False)

exits = st.builds(Exit, code=st.integers(-64, 255), ready=st.booleans(), hung=st.booleans())


def delays(policy: RestartPolicy, *deaths: Exit, interval: float = 1.0) -> list[float]:
    """Delays after deaths at a steady interval; all must lead to a restart."""
    found = []
    for number, death in enumerate(deaths):
        decision = policy.next(100.0 + number * interval, death)
        assert isinstance(decision, Restart)
        found.append(decision.delay)
    return found


class TestFailedStarts:
    def test_backoff_doubles_up_to_its_maximum_and_then_it_stops(self) -> None:
        policy = RestartPolicy(SETTINGS)
        assert delays(policy, *[FAILED] * 5) == [0.25, 0.5, 1.0, 2.0, 3.0]
        assert policy.next(200.0, FAILED) == Stop(
            1, "did not start 6 times in a row: the last time it exited with code 1"
        )

    def test_being_ready_once_forgets_them(self) -> None:
        policy = RestartPolicy(SETTINGS)
        assert delays(policy, *[FAILED] * 5)
        policy.ready()
        assert delays(policy, *[FAILED] * 5) == [0.25, 0.5, 1.0, 2.0, 3.0]

    def test_so_does_dying_after_it(self) -> None:
        policy = RestartPolicy(SETTINGS)
        assert delays(policy, FAILED, FAILED, CRASHED, FAILED) == [0.25, 0.5, 0.0, 0.25]

    def test_one_hanging_in_its_start_has_failed(self) -> None:
        policy = RestartPolicy(SETTINGS)
        assert delays(policy, Exit(-SIGKILL, ready=False, hung=True)) == [0.25]

    def test_one_that_says_so_stops_it_at_once(self) -> None:
        decision = RestartPolicy(SETTINGS).next(0.0, Exit(EXIT_CANNOT_START, ready=False))
        assert isinstance(decision, Stop)
        assert decision.exit_code == EXIT_CANNOT_START

    def test_the_limit_can_be_one(self) -> None:
        decision = RestartPolicy(SupervisionSettings(crash_limit=1)).next(0.0, FAILED)
        assert decision == Stop(1, "did not start once: the last time it exited with code 1")


class TestDeathsOfTheReady:
    @pytest.mark.parametrize("death", [CRASHED, KILLED, Exit(0, ready=True)])
    def test_half_a_minute_of_kills_each_second_is_mended_at_once(self, death: Exit) -> None:
        assert delays(RestartPolicy(SETTINGS), *[death] * 30) == [0.0] * 30

    def test_endless_dying_slows_down(self) -> None:
        policy = RestartPolicy(SETTINGS)
        now, spent = 0.0, []
        for _ in range(100):
            decision = policy.next(now, CRASHED)
            assert isinstance(decision, Restart)
            spent.append(decision.delay)
            now += decision.delay + 0.1
        assert spent[:BURST] == [0.0] * BURST
        assert spent[-1] == pytest.approx(STEADY_INTERVAL - 0.1)

    def test_living_earns_the_burst_back(self) -> None:
        policy = RestartPolicy(SETTINGS)
        for _ in range(100):
            policy.next(0.0, CRASHED)
        decision = policy.next(101 * STEADY_INTERVAL, CRASHED)
        assert decision == Restart(0.0)


class TestProperties:
    @given(st.lists(st.tuples(st.floats(0, 100), exits)))
    def test_never_stops_for_workers_that_were_ready_or_killed(
        self, deaths: list[tuple[float, Exit]]
    ) -> None:
        policy, now = RestartPolicy(SETTINGS), 0.0
        for passed, death in deaths:
            now += passed
            decision = policy.next(now, Exit(death.code, ready=True, hung=death.hung))
            assert isinstance(decision, Restart)
            assert isinstance(policy.next(now, KILLED), Restart)

    @given(st.lists(st.tuples(st.floats(0, 100), exits)))
    def test_delays_are_bounded(self, deaths: list[tuple[float, Exit]]) -> None:
        policy, now = RestartPolicy(SETTINGS), 0.0
        longest = max(SETTINGS.restart_backoff_max, (len(deaths) + 1) * STEADY_INTERVAL)
        for passed, death in deaths:
            now += passed
            decision = policy.next(now, death)
            if isinstance(decision, Stop):
                assert decision.exit_code > 0
                assert not death.ready
                break
            assert 0.0 <= decision.delay <= longest

    @given(st.integers(1, 2000), st.floats(0, 10))
    def test_the_limit_is_exact(self, limit: int, interval: float) -> None:
        policy = RestartPolicy(SupervisionSettings(crash_limit=limit))
        decisions = [policy.next(each * interval, FAILED) for each in range(limit)]
        assert [type(each) for each in decisions] == [Restart] * (limit - 1) + [Stop]


class TestWords:
    @pytest.mark.parametrize(
        ("death", "words"),
        [
            (Exit(0, ready=True), "exited with code 0"),
            (Exit(7, ready=False), "exited with code 7"),
            pytest.param(Exit(-9, ready=True), "was killed by SIGKILL", marks=posix_only),
            (Exit(-60, ready=True), "was killed by signal 60"),
            (Exit(-9, ready=True, hung=True), "hung and was killed"),
        ],
    )
    def test_an_exit_reads_well(self, death: Exit, words: str) -> None:
        assert str(death) == words
