"""A relay as its operator runs it: the real command in real processes, watched from outside.

Everything that a relay started belongs to one session of processes and one instance's names
in shared memory, so what it leaves behind can be found whatever happened to its parents.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from bus.errors import BusError
from bus.names import instance_prefix, stream_of
from bus.segment import list_objects
from tests.e2e.waiting import WATCHDOG, wait_until
from workers.table import WorkerState, WorkerStats, WorkerTable

__all__ = ["PROJECT", "RelayProcess", "Reply", "command", "peer_ports"]

PROJECT: Final = Path(__file__).resolve().parents[2]
_READY: Final = re.compile(r"^relay-supervisor .* ready on http://([^/]+):(\d+)/$", re.M)
_TAIL_LINES: Final = 60
_STOP_LIMIT: Final = 40.0
_LAST_ONES_LIMIT: Final = 5.0


def command(module: str, *arguments: str) -> list[str]:
    """A command line of the product."""
    return [sys.executable, "-m", module, *arguments]


def peer_ports(pid: int) -> set[int]:
    """Remote ports of the TCP connections that a process holds."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return set()
    return {each.raddr.port for each in connections if each.raddr}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class RelayProcess:
    """One ``relay-supervisor``.

    Attributes:
        instance: its instance name.
        host, port: where it listens, once it is ready.
    """

    def __init__(
        self,
        instance: str,
        log_file: Path,
        *options: str,
        workers: int = 4,
        env: Mapping[str, str] | None = None,
        descriptors: int = 0,
    ) -> None:
        """Start it; `wait_ready` waits for it.

        Args:
            instance: a name of its own.
            log_file: takes its standard error.
            *options: further flags.
            workers: how many.
            env: further environment variables.
            descriptors: limit of open files, as ``ulimit -n`` sets it; 0: as it is.
        """
        self.instance = instance
        self.host, self.port = "127.0.0.1", 0
        self._log_file = log_file
        self._output: list[str] = []
        self._table: WorkerTable | None = None
        fixed = ("--workers", str(workers), "--port", "0", "--instance", instance)
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command("relay.cli.supervisor", *fixed, *options),
                cwd=PROJECT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=_limit_of(descriptors) if descriptors else None,
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self._output.append(line)

    # Its life.

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it printed."""
        return "".join(self._output)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.host, self.port

    def wait_ready(self) -> None:
        """Wait for the line that ends with its URL."""
        wait_until(lambda: _READY.search(self.output) or not self.running, "the ready line")
        found = _READY.search(self.output)
        assert found, f"it ended with {self._process.wait()} before it was ready:\n{self.log()}"
        self.host, self.port = found[1].strip("[]"), int(found[2])

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor alone."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the supervisor's end; its exit status."""
        code = self._process.wait(_STOP_LIMIT)
        self._listener.join(WATCHDOG)
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and wait; its exit status."""
        if self.running:
            self.send_signal(number)
        return self.wait()

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

    # What it says.

    def log(self) -> str:
        """Its standard error so far, that of its workers included."""
        return self._log_file.read_text(errors="replace")

    def log_lines(self, *needles: str) -> list[str]:
        """Lines of the log that contain all ``needles``."""
        return [line for line in self.log().splitlines() if all(n in line for n in needles)]

    def errors(self) -> list[str]:
        """Lines that an operator would worry about."""
        found = re.compile(r" (ERROR|CRITICAL) |^Traceback|^\w*(Error|Exception)\b")
        return [line for line in self.log().splitlines() if found.search(line)]

    def tail(self) -> str:
        """The end of the log, for a failure."""
        lines = self.log().splitlines()[-_TAIL_LINES:]
        return "\n".join([f"--- end of the log of {self.instance}", *lines])

    def rows(self) -> list[WorkerStats]:
        """The worker table, without asking any worker."""
        if self._table is None:
            self._table = WorkerTable.attach(self.instance)
        return self._table.rows()

    def ready_rows(self) -> list[WorkerStats]:
        """Rows of workers that serve."""
        return [row for row in self.rows() if row.state is WorkerState.READY]

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """GET a page; blocks."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=WATCHDOG)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, fields, response.read())
        finally:
            connection.close()

    def workers(self) -> list[dict[str, Any]]:
        """``/api/workers``."""
        found: list[dict[str, Any]] = self.get("/api/workers").json()["workers"]
        return found

    def streams(self) -> dict[str, dict[str, Any]]:
        """``/api/streams`` by name."""
        return {each["name"]: each for each in self.get("/api/streams").json()["streams"]}

    def worker_pids(self) -> list[int]:
        """Process ids of the workers, from ``/api/workers``."""
        return [int(each["pid"]) for each in self.workers()]

    def metrics(self) -> dict[str, float]:
        """``/metrics``: each sample, with labels other than the worker, summed over workers."""
        return _samples(self.get("/metrics").text)

    def table_is_gone(self) -> bool:
        """Whether no new process can find its worker table."""
        try:
            WorkerTable.attach(self.instance).close()
        except BusError:
            return True
        return False


def _limit_of(descriptors: int) -> Callable[[], None]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    return limit


def _samples(text: str) -> dict[str, float]:
    total: dict[str, float] = {}
    for name, value in _parse(text):
        total[name] = total.get(name, 0.0) + value
    return total


def _parse(text: str) -> Iterator[tuple[str, float]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name, _, labels = series.partition("{")
            kept = [each for each in labels.rstrip("}").split(",") if each[:7] != "worker="]
            yield name + "".join(f"{{{each}}}" for each in kept if each), float(value)
