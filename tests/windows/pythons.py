"""Running this project's code in a Windows Python: under Wine, or natively on Windows.

`WindowsPython` is what tests use. `WinePython` gives it the build's interpreter in a Wine
prefix of its own, so that at the end everything in there can be ended without harm to
anybody else; `NativePython` is the interpreter that runs the tests.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Protocol, Self

from tests.windows.build import Build, stop_wine, wine_environment

__all__ = ["Guest", "NativePython", "Outcome", "WindowsPython", "WinePython", "wine_python"]

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 60.0
"""Seconds that a guest may take by default; nothing that works takes as long."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a guest left behind.

    Attributes:
        result: what the function returned, through JSON.
        code: exit code.
        stdout, stderr: what it wrote, as far as nobody had read it.
    """

    result: Any
    code: int
    stdout: str
    stderr: str


class Interpreter(Protocol):
    """Where a Windows Python comes from."""

    command: list[str]
    environment: Mapping[str, str]
    mark: str
    """Variable of the environment that tells its processes from all others, by its value."""

    def path(self, path: Path) -> str: ...
    def interrupt(self, process: subprocess.Popen[str]) -> None: ...


class NativePython:
    """The interpreter that runs the tests, on Windows."""

    mark = "RELAY_TEST_RUN"

    def __init__(self) -> None:
        self.command = [sys.executable]
        self.environment: Mapping[str, str] = {**os.environ, self.mark: secrets.token_hex(8)}

    def path(self, path: Path) -> str:
        """The path as the interpreter knows it."""
        return str(path)

    def interrupt(self, process: subprocess.Popen[str]) -> None:
        """Ctrl-Break: of console events the only one that can be meant for one process group."""
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)


class WinePython:
    """A build's interpreter in a Wine prefix of its own."""

    mark = "WINEPREFIX"

    def __init__(self, build: Build, prefix: Path) -> None:
        self.command = [str(build.wine), self.path(build.python)]
        self.environment: Mapping[str, str] = {
            **wine_environment(build, prefix),
            # Shared by all runs of this build, and out of the source tree.
            "PYTHONPYCACHEPREFIX": self.path(build.folder / "bytecode"),
            # No skip without a word, see `tests.skips`: what is in there is known.
            "CI": "true",
        }

    def path(self, path: Path) -> str:
        """The path as Windows programs see it: drive Z is the whole file system."""
        return "Z:" + str(path).replace("/", "\\")

    def interrupt(self, process: subprocess.Popen[str]) -> None:
        """Ctrl-C: Wine makes a console event of the signal."""
        process.send_signal(signal.SIGINT)


@contextlib.contextmanager
def wine_python(build: Build) -> Iterator[WinePython]:
    """An interpreter whose prefix is gone afterwards, with everything that ran in it."""
    runs = build.folder / "runs"
    runs.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=runs, ignore_cleanup_errors=True) as folder:
        prefix = Path(folder, "prefix")
        shutil.copytree(build.prefix, prefix, symlinks=True, copy_function=_link_or_copy)
        try:
            with _kept_running(WinePython(build, prefix)) as python:
                yield python
        finally:
            stop_wine(build, prefix)


@contextlib.contextmanager
def _kept_running(python: WinePython) -> Iterator[WinePython]:
    """Keep one program running: Windows' own programs start with the first and end with the last.

    They inherit the standard streams of whoever was first; with these, nobody is misled by
    streams that do not end.
    """
    anchor = subprocess.Popen(
        [*python.command, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=python.environment,
    )
    assert anchor.stdin and anchor.stdout
    with anchor.stdin, anchor.stdout:
        anchor.stdout.readline()
        yield python
    anchor.wait()


def _link_or_copy(source: str, destination: str) -> None:
    """Share what is large and never written: Wine's own libraries."""
    if source.endswith((".dll", ".exe", ".drv", ".sys")):
        os.link(source, destination)
    else:
        shutil.copy2(source, destination)


class WindowsPython:
    """Calls functions of this project in processes of a Windows Python.

    Attributes:
        folder: for files of this object's own.
    """

    def __init__(self, interpreter: Interpreter, folder: Path) -> None:
        """Use an interpreter.

        Args:
            interpreter: where it comes from.
            folder: for files of this object's own.
        """
        self._interpreter = interpreter
        self.folder = folder
        self._numbers = itertools.count()

    @property
    def mark(self) -> tuple[str, str]:
        """What its processes, and no others, have in their environment: name and value."""
        return self._interpreter.mark, self._interpreter.environment[self._interpreter.mark]

    def interrupt(self, process: subprocess.Popen[str]) -> None:
        """Press Ctrl-C or Ctrl-Break for one process and those it started."""
        self._interpreter.interrupt(process)

    def call(self, target: str, *arguments: object, patience: float = PATIENCE) -> Any:
        """What a function returns, called in a process of its own.

        Args:
            target: ``MODULE:FUNCTION``; a coroutine function runs on the Proactor loop.
            *arguments: anything that JSON can say.
            patience: seconds after which the process is killed.

        Raises:
            AssertionError: the function raised, with the traceback from over there.
        """
        with self.start(target, *arguments, patience=patience) as guest:
            return guest.finish().result

    def start(self, target: str, *arguments: object, patience: float = PATIENCE) -> Guest:
        """Begin to call a function; speak with it through its standard streams meanwhile."""
        number = next(self._numbers)
        job, result = self.folder / f"job-{number}", self.folder / f"result-{number}"
        description = {
            "target": target,
            "arguments": arguments,
            "result": self._interpreter.path(result),
            "patience": patience * 0.7,
        }
        job.write_text(json.dumps(description), "utf-8")
        return Guest(self.popen("-m", "tests.windows.invoke", job), result, patience)

    def run_module(self, module: str, *arguments: str | Path, patience: float) -> Outcome:
        """Run ``python -m module`` to its end; its exit code is for the caller to judge."""
        with Guest(self.popen("-m", module, *arguments), None, patience) as guest:
            return guest.outcome()

    def popen(
        self, *arguments: str | Path, path: Sequence[Path] = (), stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """A process; paths among the arguments are translated.

        Args:
            *arguments: of the interpreter.
            path: folders in which it finds modules before this project's.
            stderr: where its standard error goes, as for `subprocess`, but never to a file.
        """
        interpreter = self._interpreter
        told = [interpreter.path(a) if isinstance(a, Path) else a for a in arguments]
        return subprocess.Popen(
            [*interpreter.command, "-X", "utf8", "-W", "error", *told],
            # Pipes: under Wine, Python does not start on standard streams that are files.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=ROOT,
            # A group of its own, so that a console event is for it alone.
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            # This project is found in the working directory.
            env={
                **interpreter.environment,
                "PYTHONPATH": ";".join(interpreter.path(folder) for folder in path),
            },
        )


class Guest:
    """One process of a Windows Python; killed at the latest when its `with` block ends.

    Attributes:
        pid: process id on this side.
    """

    def __init__(
        self, process: subprocess.Popen[str], result: Path | None, patience: float
    ) -> None:
        assert process.stdin and process.stdout and process.stderr
        self._process = process
        self._result = result
        self._input: IO[str] = process.stdin
        self._output: IO[str] = process.stdout
        self._complaints: list[str] = []
        self._listener = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
        self._listener.start()
        self._watchdog = threading.Timer(patience, process.kill)
        self._watchdog.start()
        self.pid = process.pid

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            self._complaints.extend(stream)

    def line(self) -> str:
        """What the guest says next."""
        line = self._output.readline()
        if not line:
            self.finish()
            raise AssertionError("the guest ended without another word")
        return line.rstrip("\r\n")

    def send(self, line: str) -> None:
        """Tell the guest something."""
        self._input.write(line + "\n")
        self._input.flush()

    def kill(self) -> None:
        """End the guest without a chance to clean up."""
        self._process.kill()
        self._process.wait()

    def outcome(self) -> Outcome:
        """Wait for the guest's own end, whatever it is."""
        self._input.close()
        stdout = self._output.read()
        code = self._process.wait()
        self._watchdog.cancel()
        self._listener.join(PATIENCE)
        result = None
        if self._result is not None and self._result.exists():
            answer = json.loads(self._result.read_text("utf-8"))
            result = answer.get("result")
            if "error" in answer:
                self._complaints.append(answer["error"])
        return Outcome(result, code, stdout, "".join(self._complaints))

    def finish(self) -> Outcome:
        """Wait for the guest's own end, which must be a good one.

        Raises:
            AssertionError: it was not, with what the guest said about it.
        """
        outcome = self.outcome()
        assert outcome.code == 0, f"exit code {outcome.code}\n{outcome.stdout}\n{outcome.stderr}"
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watchdog.cancel()
        if self._process.poll() is None:
            self.kill()
        for stream in (self._input, self._output):
            # A guest that is dead already cannot take what is buffered for it.
            with contextlib.suppress(OSError):
                stream.close()
