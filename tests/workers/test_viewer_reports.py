"""Viewers' reports: strangers' numbers, of which only credible ones count."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.row_histogram import PAINT_LATENCY
from workers.table import Column, WorkerRow, WorkerTable
from workers.viewer_reports import ViewerReports


@pytest.fixture
def row() -> WorkerRow:
    """A row of no worker."""
    return new_row()


def new_row() -> WorkerRow:
    return WorkerRow(memoryview(bytearray(4096)).cast("Q"), 0)


def latencies(row: WorkerRow) -> list[int]:
    return [row[column] for column in PAINT_LATENCY.columns]


class TestTotals:
    def test_what_was_added_counts(self, row: WorkerRow) -> None:
        reports = ViewerReports()
        reports.take({"decoded": 100, "dropped": 2}, 10.0, row)
        reports.take({"decoded": 150, "dropped": 2}, 15.0, row)
        assert row[Column.VIEWER_DECODED] == 150
        assert row[Column.VIEWER_DROPPED] == 2

    def test_a_count_that_begins_again_counts_from_zero(self, row: WorkerRow) -> None:
        reports = ViewerReports()
        reports.take({"decoded": 100}, 10.0, row)
        reports.take({"decoded": 30}, 15.0, row)
        assert row[Column.VIEWER_DECODED] == 130

    def test_too_frequent_reports_do_not_count(self, row: WorkerRow) -> None:
        reports = ViewerReports()
        for number in range(1000):
            reports.take({"decoded": number, "latency_ms": 30}, 10.0 + number / 1000, row)
        assert sum(latencies(row)) == 1

    def test_one_report_moves_a_total_by_no_more_than_is_possible(self, row: WorkerRow) -> None:
        ViewerReports().take({"decoded": 2**52, "dropped": 2**52}, 10.0, row)
        assert row[Column.VIEWER_DECODED] == row[Column.VIEWER_DROPPED] == 10_000


class TestLatency:
    @pytest.mark.parametrize("index", range(len(PAINT_LATENCY.bounds)))
    def test_a_bound_belongs_to_its_bucket(self, row: WorkerRow, index: int) -> None:
        bound_ms = PAINT_LATENCY.bounds[index] * 1000
        ViewerReports().take({"latency_ms": bound_ms}, 10.0, row)
        ViewerReports().take({"latency_ms": bound_ms + 1}, 10.0, row)
        assert latencies(row)[index : index + 2] == [1, 1]
        assert row[Column.LATENCY_US] == pytest.approx(2000 * bound_ms + 1000, abs=1)

    @pytest.mark.parametrize("wrong", [None, "41", -0.1, 60_001, math.nan, math.inf, True, []])
    def test_what_is_no_latency_does_not_count(self, row: WorkerRow, wrong: object) -> None:
        ViewerReports().take({"latency_ms": wrong}, 10.0, row)
        assert sum(latencies(row)) == row[Column.LATENCY_US] == 0


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()


@given(st.lists(st.dictionaries(st.sampled_from(["decoded", "dropped", "latency_ms"]), anything)))
def test_no_report_breaks_a_row(reports: list[dict[str, Any]]) -> None:
    row, viewer = new_row(), ViewerReports()
    for number, report in enumerate(reports, 1):
        viewer.take(report, number * 2.0, row)
    assert sum(latencies(row)) <= len(reports)
    assert row[Column.VIEWER_DECODED] <= len(reports) * 10_000


def test_buckets_fit_into_a_row(instance: str) -> None:
    table = WorkerTable.create(instance, 2, 4711)
    try:
        for column in PAINT_LATENCY.columns:
            table.row(0)[column] = 7
        assert all(table.row(1)[column] == 0 for column in Column)
    finally:
        table.unlink()
        table.close()
