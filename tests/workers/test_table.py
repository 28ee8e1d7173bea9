"""The table of workers: rows in shared memory, one supervisor."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from bus.errors import BusError, SegmentMissing
from workers.table import ENGINES, Column, WorkerState, WorkerTable


@pytest.fixture
def table(instance: str) -> Iterator[WorkerTable]:
    """A table of six rows."""
    made = WorkerTable.create(instance, 6, 4711)
    yield made
    made.unlink()
    made.close()


def use(table: WorkerTable, index: int, *, slot: int = 0, generation: int = 0) -> None:
    row = table.row(index)
    row[Column.SLOT] = slot
    row[Column.GENERATION] = generation
    row[Column.HEARTBEAT_NS] = time.monotonic_ns()
    row[Column.STATE] = WorkerState.READY


class TestRows:
    """Written by one, read by all."""

    def test_another_mapping_sees_every_column(self, table: WorkerTable, instance: str) -> None:
        use(table, 2)
        row = table.row(2)
        for column in Column:
            if column not in (Column.STATE, Column.ENGINE, Column.HEARTBEAT_NS):
                row[column] = 1000 + column
        row[Column.ENGINE] = ENGINES.index("asyncio")
        other = WorkerTable.attach(instance)
        (seen,) = other.rows()
        assert all(
            seen[column] == 1000 + column
            for column in Column
            if column not in (Column.STATE, Column.ENGINE, Column.HEARTBEAT_NS)
        )
        assert seen.state is WorkerState.READY
        assert seen.engine == "asyncio"
        assert 0 <= seen.heartbeat_age < 60
        other.close()

    def test_rows_do_not_overlap(self, table: WorkerTable) -> None:
        for index in range(len(table)):
            row = table.row(index)
            for column in Column:
                row[column] = index * 100 + column
        for index in range(len(table)):
            row = table.row(index)
            assert [row[column] for column in Column] == [index * 100 + c for c in Column]

    def test_only_rows_in_use_are_listed_by_slot_and_generation(self, table: WorkerTable) -> None:
        use(table, 0, slot=1, generation=5)
        use(table, 1, slot=0, generation=2)
        use(table, 4, slot=1, generation=4)
        found = [(row[Column.SLOT], row[Column.GENERATION]) for row in table.rows()]
        assert found == [(0, 2), (1, 4), (1, 5)]

    def test_counting(self, table: WorkerTable) -> None:
        row = table.row(0)
        row.add(Column.VIEWERS)
        row.add(Column.VIEWERS, 4)
        row.add(Column.VIEWERS, -2)
        assert row[Column.VIEWERS] == 3

    def test_clear_frees_a_row_alone(self, table: WorkerTable) -> None:
        use(table, 0)
        use(table, 1)
        table.row(0).clear()
        assert len(table.rows()) == 1
        assert all(table.row(0)[column] == 0 for column in Column)

    def test_columns_are_distinct_and_fit(self) -> None:
        assert len({int(column) for column in Column}) == len(Column)
        assert max(Column) < 1024 // 8


class TestSupervisors:
    """An instance has one supervisor at a time."""

    def test_a_second_is_refused_with_the_pid_of_the_first(
        self, table: WorkerTable, instance: str
    ) -> None:
        with pytest.raises(BusError, match="already run by the supervisor with pid 4711"):
            WorkerTable.create(instance, 2, os.getpid())
        assert table.supervisor_pid == 4711

    def test_a_dead_ones_table_is_replaced(self, instance: str) -> None:
        dead = WorkerTable.create(instance, 2, 1)
        use(dead, 0)
        # Its lock falls with it; the segment stays.
        dead.close()
        table = WorkerTable.create(instance, 3, 2)
        assert (len(table), table.supervisor_pid, table.rows()) == (3, 2, [])
        table.unlink()
        table.close()

    def test_whether_it_lives_is_seen_from_outside(self, instance: str) -> None:
        table = WorkerTable.create(instance, 2, 1)
        other = WorkerTable.attach(instance)
        assert other.supervisor_alive()
        table.close()
        assert not other.supervisor_alive()
        other.unlink()
        other.close()

    def test_without_a_table_there_is_nothing_to_attach(self, instance: str) -> None:
        with pytest.raises(SegmentMissing):
            WorkerTable.attach(instance)
