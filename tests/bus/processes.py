"""Processes of a test's own, spoken to line by line.

A role is a function in `tests.bus.children` (or another module with a `main`). Tests wait
for lines, never for time; the test runner's timeout is the watchdog.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

__all__ = ["Child"]

_ROOT = Path(__file__).parents[2]


class Child:
    """One child process; killed at the latest when its `with` block ends.

    Attributes:
        pid: process id.
        output: its standard output, to select on.
    """

    def __init__(
        self,
        role: str,
        *arguments: object,
        module: str = "tests.bus.children",
        python: Sequence[str] = (sys.executable,),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # A file, so that a child that complains a lot does not block.
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [*python, "-W", "error", "-m", module, role, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            # Unbuffered: who selects on the output must not miss a line that was read ahead.
            bufsize=0,
            cwd=_ROOT,
            env={**os.environ, **(environment or {})},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input: IO[bytes] = self._process.stdin
        self.output: IO[bytes] = self._process.stdout
        self.pid = self._process.pid

    def send(self, line: str) -> None:
        """Tell the child something."""
        self._input.write(f"{line}\n".encode())

    def line(self) -> str:
        """What the child says next."""
        line = next(self.lines(), None)
        assert line is not None, f"the child ended: {self.complaints()}"
        return line

    def lines(self) -> Iterator[str]:
        """All that the child says until it ends."""
        while line := self.output.readline():
            yield line.decode().rstrip("\r\n")

    def ask(self, line: str) -> str:
        """Tell the child something and return its answer."""
        self.send(line)
        return self.line()

    def complaints(self) -> str:
        """All that the child wrote to standard error so far."""
        self._complaints.seek(0)
        return self._complaints.read()

    def kill(self) -> None:
        """End the child with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def finish(self) -> None:
        """Wait for the child's own end, which must be without complaint."""
        self._input.close()
        assert self._process.wait() == 0, self.complaints()
        assert self.complaints() == ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self.kill()
        self._input.close()
        self.output.close()
        self._complaints.close()
