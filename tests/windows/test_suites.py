"""Whole test suites, run by pytest in the Windows Python, several at a time."""

from __future__ import annotations

import faulthandler
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

from tests.windows.pythons import ROOT, Interpreter, WindowsPython

PATIENCE: Final = 500.0
"""Seconds for all of them."""

pytestmark = pytest.mark.timeout(PATIENCE + 30)


@dataclass(frozen=True)
class Suite:
    """Some test files.

    Attributes:
        name: for the test's id.
        files: which.
        passing: at least how many tests pass.
        mark: which of their tests, as for pytest's option of that name.
    """

    name: str
    files: frozenset[Path]
    passing: int
    mark: str = "not slow"


def _files(pattern: str) -> frozenset[Path]:
    return frozenset((ROOT / "tests").glob(pattern))


_CONNECTIONS: Final = _files("workers/test_connection_*.py")
_ACCEPTING: Final = _files("workers/test_acceptor.py")
_RING: Final = _files("bus/test_ring*.py")
_PUBLISHING: Final = _files("relay/publish/**/test_*.py") - _files("**/test_screen.py")
_RELAY: Final = _files("relay/**/test_*.py") - _files("relay/publish/**/test_*.py")
# Those that take longest come first.
SUITES: Final = [
    Suite("connections", _CONNECTIONS, 100, ""),
    Suite("workers", _files("workers/test_*.py") - _CONNECTIONS - _ACCEPTING, 300, ""),
    Suite("ring under torture", _RING, 1, "slow"),
    Suite("bus", _files("bus/test_*.py") - _RING, 300),
    Suite("accepting", _ACCEPTING, 12),
    Suite("relay", _RELAY, 400),
    Suite("publishing", _PUBLISHING, 200),
    Suite("ring", _RING, 60),
    Suite("engines", _files("contracts/test_*.py"), 20),
    Suite("windows", _files("windows/native/test_*.py"), 30),
]


def _run(windows: WindowsPython, suite: Suite) -> Counter[str]:
    """How many tests of a suite passed and were skipped; none may fail."""
    report = windows.folder / "report.xml"
    options = ("-p", "no:cacheprovider", "-q", "-m", suite.mark, "--junitxml", report)
    outcome = windows.run_module("pytest", *options, *sorted(suite.files), patience=PATIENCE)
    assert outcome.code == 0, outcome.stdout + outcome.stderr
    counts: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        counts["passed" if case.find("skipped") is None else "skipped"] += 1
    return counts


Running = dict[str, Future[Counter[str]]]


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest,
    _interpreter: Interpreter,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """The suites that were asked for, on all processors: much of their time is waiting."""
    asked = {item.name for item in request.session.items}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            suite.name: pool.submit(
                _run, WindowsPython(_interpreter, tmp_path_factory.mktemp("suite")), suite
            )
            for suite in SUITES
            if f"test_it_passes[{suite.name}]" in asked
        }


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_it_passes(running: Running, suite: Suite) -> None:
    # To wait so long is no sign that anything hangs.
    faulthandler.cancel_dump_traceback_later()
    counts = running[suite.name].result()
    print(dict(counts))
    assert counts["passed"] >= suite.passing
