"""A relay in a process of its own, whose log lines a test can wait for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from bus.errors import SegmentMissing
from workers.table import Column, WorkerStats, WorkerTable

__all__ = ["RelayProcess"]

WATCHDOG = 60.0
ROOT = Path(__file__).parents[2]


class RelayProcess:
    """Runs a module and collects its output.

    Attributes:
        pid: of the supervisor.
        lines: of both outputs so far.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        instance: str,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.instance = instance
        self._process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=pass_fds,
        )
        self.pid = self._process.pid
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._open = 2
        assert self._process.stdout is not None and self._process.stderr is not None
        self._readers = [
            threading.Thread(target=self._collect, args=(pipe,), daemon=True)
            for pipe in (self._process.stdout, self._process.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def _collect(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def wait_line(self, pattern: str, after: int = 0) -> int:
        """Wait for a line that ``pattern`` is found in; the number of the line behind it."""

        def found() -> int | None:
            for number in range(after, len(self.lines)):
                if re.search(pattern, self.lines[number]):
                    return number + 1
            return None

        with self._changed:
            self._changed.wait_for(lambda: found() is not None or not self._open, WATCHDOG)
            number = found()
        assert number is not None, f"no line {pattern!r} in:\n" + "\n".join(self.lines)
        return number

    def wait_ready(self) -> str:
        """Wait until all workers are ready; the URL."""
        line = self.lines[self.wait_line(r"ready on http://\S+/$") - 1]
        return line.rpartition(" ")[2]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        code = self._process.wait(WATCHDOG)
        for reader in self._readers:
            reader.join(WATCHDOG)
        return code

    def stop(self) -> int:
        """Stop it in order; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def watch(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds, looking again at every line and now and then."""
        deadline = time.monotonic() + WATCHDOG
        while not condition():
            assert time.monotonic() < deadline, "in vain; lines:\n" + "\n".join(self.lines)
            with self._changed:
                self._changed.wait(0.05)

    def rows(self) -> list[WorkerStats]:
        """Its worker table, empty when there is none."""
        try:
            table = WorkerTable.attach(self.instance)
        except SegmentMissing:
            return []
        try:
            return table.rows()
        finally:
            table.close()

    def worker_pids(self) -> list[int]:
        """Pids of its workers by slot."""
        return [row[Column.PID] for row in self.rows()]

    def descendants(self) -> list[psutil.Process]:
        """All processes below it."""
        return psutil.Process(self.pid).children(recursive=True)

    def close(self) -> None:
        """End it: in order when it can, by force when it cannot."""
        if self._process.poll() is not None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(WATCHDOG / 2)
        except subprocess.TimeoutExpired:
            for child in self.descendants():
                child.kill()
            self._process.kill()
        self.wait()
