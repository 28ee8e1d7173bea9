"""Skips, where nobody would notice them.

On a developer's machine a test that cannot run is skipped with its reason. Continuous
integration (``CI`` in the environment) has everything that the tests need, so there a skip
is a failure, except for what a test marks as optional::

    pytest.skip("optional: Python 3.13 is not installed")
"""

from __future__ import annotations

import os
from typing import Final

import pytest

__all__ = ["SkipsFail", "register"]

OPTIONAL: Final = "optional:"


class SkipsFail:
    """Collects skips, and fails the run for them."""

    def __init__(self) -> None:
        self._reasons: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skip that nobody declared harmless."""
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            if not reason.startswith(OPTIONAL):
                self._reasons.append(f"{report.nodeid}: {reason}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was skipped that must not be."""
        for reason in self._reasons:
            terminalreporter.line(f"SKIPPED, which fails here: {reason}", red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run with such skips is no success."""
        if self._reasons and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def register(config: pytest.Config) -> None:
    """Watch for skips if this is continuous integration."""
    if os.environ.get("CI"):
        config.pluginmanager.register(SkipsFail())
