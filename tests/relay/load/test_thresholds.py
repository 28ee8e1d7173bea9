"""The language of thresholds."""

from __future__ import annotations

import pytest

from relay.load.thresholds import METRICS, Threshold, parse_thresholds

QUIET: dict[str, float | None] = dict.fromkeys(METRICS, 0.0)


def test_several_with_units() -> None:
    assert parse_thresholds(" p99 > 1.5s, freeze>0,skipped>=2%,p50>500us") == (
        Threshold("p99", ">", 1500.0),
        Threshold("freeze", ">", 0.0),
        Threshold("skipped", ">=", 2.0),
        Threshold("p50", ">", 0.5),
    )


def test_a_latency_without_a_unit_is_in_milliseconds() -> None:
    assert parse_thresholds("p95<=20") == (Threshold("p95", "<=", 20.0),)


@pytest.mark.parametrize("text", ["p99>1500ms", "connected<7", "skipped>=2.5%"])
def test_shown_as_it_is_read(text: str) -> None:
    (threshold,) = parse_thresholds(text)
    assert str(threshold) == text
    assert parse_thresholds(str(threshold)) == (threshold,)


@pytest.mark.parametrize(
    ("text", "value", "broken"),
    [
        ("lost>2", 2, False),
        ("lost>2", 3, True),
        ("lost>=2", 2, True),
        ("frames<1", 0, True),
        ("frames<1", 1, False),
        ("frames<=1", 1, True),
    ],
)
def test_bounds(text: str, value: float, broken: bool) -> None:
    (threshold,) = parse_thresholds(text)
    assert threshold.broken_by({**QUIET, threshold.metric: value}) is broken


def test_a_breach_says_what_it_was() -> None:
    values = {**QUIET, "p99": 131.46, "lost": 1367, "join": None}
    words = [each.breach(values) for each in parse_thresholds("p99>100ms,lost>0,join>1s")]
    assert words == ["p99>100ms (131.5ms)", "lost>0 (1,367)", "join>1000ms (not measured)"]


def test_a_latency_that_nobody_measured_is_no_success() -> None:
    (threshold,) = parse_thresholds("p99>100ms")
    assert threshold.broken_by({**QUIET, "p99": None})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "threshold"),
        ("p99>100ms,", "threshold"),
        ("p99=100ms", "threshold"),
        ("p99>-1", "threshold"),
        ("p99>fast", "threshold"),
        ("p98>1ms", "p98"),
        ("p99>1%", "unit"),
        ("freeze>1ms", "unit"),
        ("p99>1parsec", "unit"),
    ],
)
def test_what_is_no_threshold(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_thresholds(text)
