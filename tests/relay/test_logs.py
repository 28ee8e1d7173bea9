"""Log lines: their fields, and what a flood leaves of itself."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from relay import logs
from relay.logs import RateLimit

log = logging.getLogger("relay.test")


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Give pytest its handlers back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Viewer:
    """Something that lines are about."""

    log_fields = {"stream": "cam0", "viewer": 7, "address": "192.0.2.9"}  # noqa: RUF012

    def __str__(self) -> str:
        return "192.0.2.9"


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_has_the_fields_of_what_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "worker-3", "json", worker=3)
    log.info("%s refused: %s", Viewer(), "no\nway")
    (line,) = written(capsys)
    assert line["message"] == "192.0.2.9 refused: no\nway"
    assert line["level"] == "info"
    assert (line["worker"], line["process"]) == (3, "worker-3")
    assert (line["stream"], line["viewer"], line["address"]) == ("cam0", 7, "192.0.2.9")


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "supervisor", "json")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    (line,) = written(capsys)
    assert line["exception"].endswith("ValueError: why")


@pytest.mark.parametrize("style", logs.FORMATS)
def test_a_flood_is_cut_off(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "worker-0", style, limited=True)
    for number in range(5000):
        log.warning("bad peer %d", number)
    log.warning("something else")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) < 100
    assert "something else" in lines[-1]


def test_whom_no_stranger_reaches_writes_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "supervisor")
    for number in range(500):
        log.warning("worker %d died", number)
    assert len(capsys.readouterr().err.splitlines()) == 500


def record(line: int) -> logging.LogRecord:
    return logging.LogRecord("relay", logging.INFO, "place.py", line, "words", (), None)


def test_what_was_held_back_is_told_by_the_next_that_passes() -> None:
    now = 100.0
    limit = RateLimit(lambda: now)
    passed = sum(limit.filter(record(1)) for _ in range(50))
    assert 0 < passed < 50
    assert limit.filter(record(2)), "another kind has its own allowance"
    now += 10.0
    after = record(1)
    assert limit.filter(after)
    assert vars(after)["suppressed"] == 50 - passed


def test_text_tells_it_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "worker-0")
    (handler,) = logging.getLogger().handlers
    told = record(1)
    told.suppressed = 30
    assert handler.format(told).endswith("] words (30 more like this were not logged)")
