"""The balance gate: who may accept, and who is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers import gate as module
from workers.gate import GATE_TOKEN, SLACK_DIVISOR, STALE_NS, BalanceGate, open_gates
from workers.table import Column, WorkerState, WorkerTable


class RecordingRinger:
    """Notes whom it rang."""

    def __init__(self) -> None:
        self.rung: list[tuple[int, int]] = []

    def ring(self, bell: int, token: int) -> bool:
        self.rung.append((bell, token))
        return True

    def close(self) -> None: ...


class Workers:
    """Rows of a real table, each with its gate."""

    def __init__(self, table: WorkerTable, ringer: RecordingRinger) -> None:
        self.table = table
        self.ringer = ringer
        self.gates = [BalanceGate(table, table.row(n), ringer) for n in range(len(table))]

    def set(
        self,
        index: int,
        connections: int,
        *,
        state: WorkerState = WorkerState.READY,
        age_ns: int = 0,
    ) -> None:
        row = self.table.row(index)
        row[Column.CONNECTIONS] = connections
        row[Column.BELL] = 100 + index
        row[Column.HEARTBEAT_NS] = NOW - age_ns
        row[Column.STATE] = state

    def open(self) -> list[bool]:
        """Each gate that is in use."""
        return [
            gate.is_open()
            for index, gate in enumerate(self.gates)
            if self.table.row(index)[Column.STATE] == WorkerState.READY
        ]


NOW = 10**15


@pytest.fixture
def workers(instance: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """Four rows, none in use; the clock stands still."""
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=lambda: NOW))
    table = WorkerTable.create(instance, 4, 1)
    yield Workers(table, RecordingRinger())
    table.unlink()
    table.close()


class TestWhoMayAccept:
    """Nobody is far above the least-loaded live worker."""

    def test_alone_it_may(self, workers: Workers) -> None:
        workers.set(0, 1_000_000)
        assert workers.open() == [True]

    def test_the_least_loaded_may_and_the_others_may_not(self, workers: Workers) -> None:
        for index, count in enumerate([3, 4, 3, 5]):
            workers.set(index, count)
        assert workers.open() == [True, False, True, False]

    def test_slack_grows_with_the_counts(self, workers: Workers) -> None:
        least = SLACK_DIVISOR * 10
        for index, count in enumerate([least, least + 10, least + 11, least + 5]):
            workers.set(index, count)
        assert workers.open() == [True, True, False, True]

    @pytest.mark.parametrize(
        "state", [WorkerState.FREE, WorkerState.STARTING, WorkerState.DRAINING]
    )
    def test_who_does_not_accept_does_not_count(self, workers: Workers, state: WorkerState) -> None:
        workers.set(0, 50)
        workers.set(1, 0, state=state)
        assert workers.open() == [True]

    def test_whose_heart_stands_still_does_not_count(self, workers: Workers) -> None:
        workers.set(0, 50)
        workers.set(1, 0, age_ns=STALE_NS)
        assert workers.gates[0].is_open() is False
        workers.set(1, 0, age_ns=STALE_NS + 1)
        assert workers.gates[0].is_open() is True

    def test_a_worker_just_started_takes_all_until_it_is_level(self, workers: Workers) -> None:
        for index, count in enumerate([30, 30, 30]):
            workers.set(index, count)
        workers.set(3, 0)
        assert workers.open() == [False, False, False, True]
        workers.set(3, 30)
        assert workers.open() == [True, True, True, True]


class TestWhoIsTold:
    """Waiting is written down, and whoever ends it rings."""

    def test_who_waits_is_rung_when_a_count_grew(self, workers: Workers) -> None:
        for index, count in enumerate([1, 2, 2, 1]):
            workers.set(index, count)
        assert workers.open() == [True, False, False, True]
        waiting = [workers.table.row(index)[Column.GATED] for index in range(4)]
        assert waiting == [0, 1, 1, 0]
        workers.gates[0].tell()
        assert workers.ringer.rung == [(101, GATE_TOKEN), (102, GATE_TOKEN)]

    def test_who_went_on_is_not_rung(self, workers: Workers) -> None:
        workers.set(0, 1)
        workers.set(1, 2)
        assert not workers.gates[1].is_open()
        workers.set(0, 2)
        assert workers.gates[1].is_open()
        workers.gates[0].tell()
        assert workers.ringer.rung == []

    def test_who_stopped_is_not_rung(self, workers: Workers) -> None:
        workers.set(0, 1)
        workers.set(1, 2)
        assert not workers.gates[1].is_open()
        workers.set(1, 2, state=WorkerState.DRAINING)
        workers.gates[0].tell()
        assert workers.ringer.rung == []

    def test_the_supervisor_opens_gates_when_a_worker_died(self, workers: Workers) -> None:
        workers.set(0, 0)
        workers.set(1, 5)
        assert not workers.gates[1].is_open()
        workers.table.row(0).clear()
        open_gates(workers.table, workers.ringer)
        assert workers.ringer.rung == [(101, GATE_TOKEN)]
        assert workers.gates[1].is_open()


@given(st.lists(st.integers(0, 500), min_size=4, max_size=4), st.integers(0, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_arrivals_level_whatever_the_start(
    workers: Workers, counts: list[int], arrivals: int
) -> None:
    """Some gate is always open, and only gates near the least are."""
    for index, count in enumerate(counts):
        workers.set(index, count)
    for turn in range(arrivals):
        row_open = workers.open()
        assert any(row_open)
        # Whoever is first at the listener: here the last of those who may.
        index = max(range(4), key=lambda n: (row_open[n], (n + turn) % 4))
        row = workers.table.row(index)
        least = min(workers.table.row(n)[Column.CONNECTIONS] for n in range(4))
        row.add(Column.CONNECTIONS)
        assert row[Column.CONNECTIONS] <= least + least // SLACK_DIVISOR + 1
