"""A relay as its operator runs it: the real command in real processes, watched from outside.

Everything that a relay started belongs to one session of processes and one instance's names
in shared memory, so what it leaves behind can be found whatever happened to its parents.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from bus.errors import BusError
from bus.names import instance_prefix, stream_of
from bus.segment import list_objects
from tests.e2e.relay import Relay
from tests.e2e.waiting import wait_until
from workers.table import Column, WorkerStats, WorkerTable

__all__ = ["PROJECT", "RelayProcess", "command", "limit_of"]

PROJECT: Final = Path(__file__).resolve().parents[2]
PATIENT: Final = "10"
"""Seconds that viewers may be behind where a test says nothing of it: who misses a frame then
does so because of the relay, and not because this machine was busy for a second."""
_LAST_ONES_LIMIT: Final = 5.0


def command(module: str, *arguments: str) -> list[str]:
    """A command line of the product."""
    return [sys.executable, "-m", module, *arguments]


class RelayProcess(Relay):
    """One ``relay-supervisor`` on this system."""

    def __init__(
        self,
        instance: str,
        log_file: Path,
        *options: str,
        workers: int = 4,
        env: Mapping[str, str] | None = None,
        descriptors: int = 0,
        prefix: Sequence[str] = (),
    ) -> None:
        """Start it; `wait_ready` waits for it.

        Args:
            instance: a name of its own.
            log_file: takes its standard error.
            *options: further flags.
            workers: how many.
            env: further environment variables.
            descriptors: limit of open files, as ``ulimit -n`` sets it; 0: as it is.
            prefix: command that runs it, for example in a network namespace.
        """
        self._log_file = log_file
        self._table: WorkerTable | None = None
        fixed = ("--workers", str(workers), "--port", "0", "--instance", instance)
        with log_file.open("ab") as log:
            process = subprocess.Popen(
                [*prefix, *command("relay.cli.supervisor", *fixed, *options)],
                cwd=PROJECT,
                env={**os.environ, "RELAY_MAX_LAG": PATIENT, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=limit_of(descriptors) if descriptors else None,
            )
        super().__init__(instance, process)

    # Its life.

    def processes(self) -> list[psutil.Process]:
        """Everything alive that it started, itself first."""
        found = []
        for pid in psutil.pids():
            try:
                process = psutil.Process(pid)
                if os.getsid(pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, ProcessLookupError):
                continue
        return found

    def objects(self) -> list[str]:
        """What is in shared memory under its instance's name, except streams."""
        names = list_objects(instance_prefix(self.instance))
        return [name for name in names if stream_of(self.instance, name) is None]

    def clean_up(self) -> list[str]:
        """Stop whatever is left, by force if need be; what should not have been left."""
        left = []
        if self.running:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                left.append("the supervisor does not stop on SIGTERM")
        # Python's own helper of a supervisor goes a moment after it.
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.processes(), "the end of all", limit=_LAST_ONES_LIMIT)
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                left.append(f"process {process.pid}: {' '.join(process.cmdline())}")
                process.kill()
        self._process.wait()
        if self._table is not None:
            self._table.close()
        return left

    def log(self) -> str:
        """Its standard error so far, that of its workers included."""
        return self._log_file.read_text(errors="replace")

    def rows(self) -> list[WorkerStats]:
        """The worker table, without asking any worker."""
        if self._table is None:
            self._table = WorkerTable.attach(self.instance)
        return self._table.rows()

    def reload(self) -> None:
        """By SIGHUP."""
        self.send_signal(signal.SIGHUP)

    def kill_worker(self, pid: int) -> None:
        """By kill -9."""
        os.kill(pid, signal.SIGKILL)

    def descriptors(self) -> dict[int, int]:
        """How many descriptors each worker has."""
        pids = [row[Column.PID] for row in self.rows()]
        return {pid: psutil.Process(pid).num_fds() for pid in pids}

    def own_memory(self) -> dict[int, int]:
        """Each worker's."""
        found = {}
        for row in self.rows():
            info = psutil.Process(row[Column.PID]).memory_info()
            found[row[Column.PID]] = info.rss - info.shared
        return found

    def table_is_gone(self) -> bool:
        """Whether no new process can find its worker table."""
        try:
            WorkerTable.attach(self.instance).close()
        except BusError:
            return True
        return False


def limit_of(descriptors: int) -> Callable[[], None]:
    """Limits the open files of a child, as its ``preexec_fn``."""
    # There is none on Windows, where this module is imported, too.
    import resource

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    return limit
