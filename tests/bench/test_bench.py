"""Measuring works, whatever the figures are."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from tests.bench import report
from tests.bench.compiling import MissingError
from tests.bench.contestants import PEERS, Contestant, contestant
from tests.bench.load import Load, Report
from tests.bench.scenarios import FanOut, Storm

if sys.platform != "linux":
    pytest.skip("optional: the viewers need epoll", allow_module_level=True)


@pytest.fixture(params=["floor_send.c", "relay_asyncio.py"])
def who(request: pytest.FixtureRequest) -> Contestant:
    try:
        return contestant(PEERS / request.param)
    except MissingError as exc:
        pytest.skip(f"optional: {exc}")


def test_every_frame_of_a_small_load_is_seen(who: Contestant) -> None:
    figures = FanOut(Load(10, 2048, streams=2)).run(who, 1, 0.5)
    assert figures["frames_per_s"] > 0
    assert figures["gone"] == 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]


def test_every_connection_of_a_small_storm_gets_its_frame(who: Contestant) -> None:
    assert Storm(20, 5).run(who, 1, 0)["connections_per_s"] > 0


def test_percentiles_come_from_counts() -> None:
    seen = Report(1, 0, 100, 0, 0, Counter({1000: 98, 2000: 1, 9000: 1}))
    assert [seen.latency_ms(part) for part in (0.5, 0.99, 1.0)] == [1, 2, 9]


def test_a_table_shows_medians_and_multiples_of_the_floor() -> None:
    rows = [
        {"contestant": key, "name": name, "workers": 1, "scenario": "500x16k", "figures": figures}
        for key, name, cost in [("floor_send", "floor", 5), ("a", "a", 6), ("a", "a", 10)]
        for figures in [
            {"us_per_frame": cost, "machine_us_per_frame": 20, "p99_ms": 1.5, "lost": 0}
        ]
    ]
    assert "| a *1 | 8.00 (1.60x), machine 20.0 (1.00x), p99 1.5 ms |" in report.table(rows)
