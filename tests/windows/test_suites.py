"""Whole test suites, run by pytest in the Windows Python.

On Windows they run by themselves and there is nothing to do here.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

from tests.windows.pythons import ROOT, WindowsPython

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="optional: these tests run by themselves here"
)

PATIENCE: Final = 400.0

_BUS: Final = set((ROOT / "tests/bus").glob("test_*.py"))
_RING: Final = set((ROOT / "tests/bus").glob("test_ring*.py"))


def run(windows: WindowsPython, files: set[Path], mark: str) -> Counter[str]:
    """How many tests of some files passed and were skipped; none may fail."""
    report = windows.folder / "report.xml"
    options = ("-p", "no:cacheprovider", "-q", "-m", mark, "--junitxml", report)
    outcome = windows.run_module("pytest", *options, *sorted(files), patience=PATIENCE)
    assert outcome.code == 0, outcome.stdout + outcome.stderr
    counts: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        counts["passed" if case.find("skipped") is None else "skipped"] += 1
    return counts


@pytest.mark.timeout(PATIENCE + 30)
def test_the_bus(windows: WindowsPython) -> None:
    assert run(windows, _BUS - _RING, "not slow")["passed"] > 300


@pytest.mark.timeout(PATIENCE + 30)
def test_the_ring(windows: WindowsPython) -> None:
    counts = run(windows, _RING, "not slow")
    assert counts["passed"] > 60
    assert not counts["skipped"]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE + 30)
def test_the_ring_under_torture(windows: WindowsPython) -> None:
    assert run(windows, _RING, "slow") == {"passed": 1}


@pytest.mark.timeout(PATIENCE + 30)
def test_what_windows_alone_has(windows: WindowsPython) -> None:
    counts = run(windows, set((Path(__file__).parent / "native").glob("test_*.py")), "not slow")
    assert counts["passed"] > 30
    assert not counts["skipped"]
