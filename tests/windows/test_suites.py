"""Whole test suites, run by pytest in the Windows Python.

On Windows they run by themselves and there is nothing to do here.
"""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest

from tests.windows.pythons import ROOT, WindowsPython

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="optional: these tests run by themselves here"
)
PATIENCE = 600.0


def cases(windows: WindowsPython, report: str) -> dict[str, list[str]]:
    """Test cases of a JUnit report by what became of them."""
    found: dict[str, list[str]] = {"passed": [], "skipped": [], "failed": []}
    for case in ElementTree.parse(windows.folder / report).iter("testcase"):
        kinds = {child.tag for child in case}
        kind = (
            "failed" if kinds & {"failure", "error"} else next(iter(kinds & {"skipped"}), "passed")
        )
        found[kind].append(f"{case.get('classname')}::{case.get('name')}")
    return found


@pytest.mark.parametrize(
    ("suite", "least"), [("tests/bus", 350), ("tests/windows/native", 20)], ids=["bus", "native"]
)
@pytest.mark.timeout(PATIENCE + 30)
def test_suite(windows: WindowsPython, suite: str, least: int) -> None:
    outcome = windows.run_module(
        "pytest",
        "-p",
        "no:cacheprovider",
        "-q",
        "-m",
        "not slow",
        "--junitxml",
        windows.folder / "report.xml",
        ROOT / suite,
        patience=PATIENCE,
    )
    assert outcome.code == 0, outcome.stdout + outcome.stderr
    assert len(cases(windows, "report.xml")["passed"]) >= least
