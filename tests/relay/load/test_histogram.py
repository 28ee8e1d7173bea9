"""Known distributions come back right."""

from __future__ import annotations

import random

import pytest

from relay.load.histogram import Histogram


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@pytest.mark.parametrize("percent", [1, 50, 95, 99, 100])
def test_percentiles_are_within_one_percent(percent: float) -> None:
    draw = random.Random(7)
    values = sorted(draw.lognormvariate(9, 1.2) for _ in range(20_000))
    exact = values[round(len(values) * percent / 100) - 1]
    assert filled(values).percentile(percent) == pytest.approx(exact, rel=0.0101)


def test_two_halves_are_one_whole() -> None:
    low, high = filled([10.0] * 90), filled([5000.0] * 10)
    low.merge(high.counts)
    assert low.count == 100
    assert low.percentile(90) == pytest.approx(10, rel=0.0101)
    assert low.percentile(91) == pytest.approx(5000, rel=0.0101)
    assert [count for _, count in low.bars()] == [90, 10]


def test_no_values_have_no_percentile() -> None:
    assert Histogram().percentile(99) is None


def test_clocks_that_disagree_count_as_nothing() -> None:
    assert filled([-5.0, 0.0]).percentile(100) == 1.0
