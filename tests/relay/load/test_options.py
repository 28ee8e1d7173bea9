"""The command line becomes a plan."""

from __future__ import annotations

import pytest

from relay.load.mix import Mix
from relay.load.options import make_parser, make_plan
from relay.load.plan import Plan
from relay.load.thresholds import METRICS
from relay.load.watching import Clocks

URL = "ws://relay.test/view/cam"


def plan(*words: str, local: bool = False) -> Plan:
    return make_plan(make_parser().parse_args(words), words, local=local)


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELAY_TOKEN", raising=False)
    found = plan(URL)
    assert (found.viewers, found.duration, found.most, found.token) == (100, 30.0, 0, "")
    assert found.streams == ("cam",)
    assert found.mix == Mix()


def test_a_search_measures_each_level_for_a_shorter_time() -> None:
    found = plan(URL, "--find-limit")
    assert found.duration == 5.0
    assert found.most >= 100_000
    assert "p99>100ms" in [str(each) for each in found.fail_if]


def test_a_mix() -> None:
    found = plan(URL, "--slow", "5%", "--hidden", "2.5%", "--half-open", "1%", "--churn", "20/s")
    assert found.mix == Mix(0.05, 0.025, 0.01)
    assert found.churn == 20


def test_viewers_spread_over_test_streams() -> None:
    assert plan(URL, "--publish", "cam*3").streams == ("cam1", "cam2", "cam3")
    assert plan(URL, "--publish", "other*3").streams == ("cam",)


def test_whose_clocks_need_no_estimate() -> None:
    assert plan(URL).clocks is Clocks.OTHERS
    assert plan(URL, local=True).clocks is Clocks.RELAY
    assert plan(URL, "--publish", "cam").clocks is Clocks.PUBLISHER


@pytest.mark.parametrize(
    "words",
    [
        (f"{URL}?token=secret",),
        (URL, "--token", "secret"),
        (URL, "--token=secret"),
    ],
)
def test_a_report_shows_no_token(words: tuple[str, ...]) -> None:
    found = plan(*words)
    assert found.token == "secret"
    assert "secret" not in found.command
    assert "secret" not in repr(found)


def test_help_names_every_metric() -> None:
    words = make_parser().format_help()
    assert "%%" not in words
    assert words.isascii()
    assert all(f"  {name} " in words for name in METRICS)
