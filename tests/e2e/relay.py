"""A running relay as tests see it, wherever it runs: over HTTP, in its log and in its rows."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.e2e.waiting import WATCHDOG, wait_until
from workers.table import WorkerState, WorkerStats

__all__ = ["Relay", "Reply"]

_READY: Final = re.compile(r"^relay-supervisor .* ready on https?://([^/]+):(\d+)/$", re.M)
_TAIL_LINES: Final = 60
_STOP_LIMIT: Final = 40.0


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


class Relay(ABC):
    """One relay.

    Attributes:
        instance: its instance name.
        host, port: where it listens, once it is ready.
    """

    def __init__(self, instance: str, process: subprocess.Popen[str]) -> None:
        """Listen to a supervisor that was just started.

        Args:
            instance: its instance name.
            process: its process, with its standard output.
        """
        self.instance = instance
        self.host, self.port = "127.0.0.1", 0
        self._process = process
        self._output: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                self._output.append(line)

    # Its life.

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.host, self.port

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

    def wait_ready(self) -> None:
        """Wait for the line that ends with its URL."""
        wait_until(lambda: _READY.search(self.output) or not self.running, "the ready line")
        found = _READY.search(self.output)
        assert found, f"it ended with {self._process.wait()} before it was ready:\n{self.log()}"
        self.host, self.port = found[1].strip("[]"), int(found[2])

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor alone."""
        self._process.send_signal(number)

    def interrupt(self) -> None:
        """Ctrl-C, to the supervisor alone."""
        self.send_signal(signal.SIGINT)

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

    # What only its own system can tell or do.

    @abstractmethod
    def log(self) -> str:
        """Its standard error so far, that of its workers included."""

    @abstractmethod
    def rows(self) -> list[WorkerStats]:
        """The worker table, without asking any worker."""

    @abstractmethod
    def reload(self) -> None:
        """Ask for new workers with the configuration as it is now."""

    @abstractmethod
    def kill_worker(self, pid: int) -> None:
        """End a worker without a warning."""

    @abstractmethod
    def descriptors(self) -> dict[int, int]:
        """How many descriptors processes have, by process."""

    @abstractmethod
    def own_memory(self) -> dict[int, int]:
        """Memory of workers, in bytes without what they share (the rings), by process."""

    # What it says.

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
