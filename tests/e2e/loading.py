"""relay-load as its user runs it: a process whose lines tell when it has seen enough."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.e2e.relay_process import PROJECT, command, limit_of
from tests.e2e.waiting import WATCHDOG

__all__ = ["LOAD", "LoadProcess"]

LOAD: Final = "relay.cli.load"
_FOR_EVER: Final = "1000"


class LoadProcess:
    """One ``relay-load``, which runs until it is told to stop unless it has a ``--duration``."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *options: str,
        descriptors: int = 0,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            url: of the stream.
            folder: takes its report.
            *options: further flags.
            descriptors: limit of open files; 0: as it is.
            prefix: command that runs it, for example in a network namespace.
            env: further environment variables.
        """
        self._report = folder / "load.json"
        self._lines: list[str] = []
        fixed = ("--duration", _FOR_EVER, "--json", str(self._report))
        self._process = subprocess.Popen(
            [*prefix, *command(LOAD, url, *fixed, *options)],
            cwd=PROJECT,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=limit_of(descriptors) if descriptors else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def until(self, pattern: str) -> re.Match[str]:
        """Read on to a line that holds a pattern."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            found = re.search(pattern, line)
            if found is not None:
                return found
        raise AssertionError(f"no line with {pattern!r} in {''.join(self._lines)}")

    def stop(self) -> tuple[int, dict[str, Any]]:
        """Press Ctrl-C; then as `finish`."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self.finish()

    def failure(self) -> tuple[int, str]:
        """Wait for its end without a report; exit status and complaint."""
        _, complaints = self._process.communicate(timeout=2 * WATCHDOG)
        return self._process.returncode, complaints

    def finish(self) -> tuple[int, dict[str, Any]]:
        """Wait for its end; exit status and report."""
        shown, complaints = self._process.communicate(timeout=2 * WATCHDOG)
        assert self._report.exists(), (*self._lines, shown, complaints)
        assert complaints == "", complaints
        report: dict[str, Any] = json.loads(self._report.read_text())
        return self._process.returncode, report
