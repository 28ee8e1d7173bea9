"""A fleet over processes that exist only in the test."""

from __future__ import annotations

import itertools
import math
from typing import Any

from relay.auth import TokenAuthorizer
from relay.fleet import Fleet
from relay.restart_policy import Exit
from relay.settings import SupervisionSettings
from relay.worker_process import Phase, WorkerProcess, WorkerSpec
from workers.settings import Limits, ViewerSettings
from workers.table import Column, WorkerRow, WorkerState, WorkerTable

__all__ = ["EVER", "NEVER", "SUPERVISION", "FakeProcess", "Harness", "spec"]

NEVER, EVER = -math.inf, math.inf
SUPERVISION = SupervisionSettings(
    crash_limit=3, memory_limit=100, hang_timeout=5.0, start_timeout=30.0
)


def spec(engine: str) -> WorkerSpec:
    """Settings that are told apart by their engine."""
    return WorkerSpec(
        "test", engine, Limits(), ViewerSettings(drain_timeout=7.0), TokenAuthorizer([]), "info"
    )


class FakeControl:
    closed = False


class FakeProcess:
    """Does what it is told, and dies when the test says so."""

    numbers = itertools.count(1)

    def __init__(
        self, spec: WorkerSpec, *, slot: int, generation: int, restarts: int, row: WorkerRow
    ) -> None:
        row[Column.STATE] = WorkerState.STARTING
        row[Column.RESTARTS] = restarts
        self.engine = spec.engine
        self.slot = slot
        self.generation = generation
        self.row = row
        self.pid = self.sentinel = next(self.numbers)
        self.control = FakeControl()
        self.phase = Phase.STARTING
        self.kill_at: float | None = None
        self.uptime = 1.0
        self.beat = 0.0
        self.memory = 0
        self.drained: list[float] = []
        self.killed: list[bool] = []
        self.messages: list[dict[str, Any]] = []
        self.told: list[Any] = []
        self.exit = Exit(0, ready=False)

    def receive(self) -> list[dict[str, Any]]:
        messages, self.messages = self.messages, []
        return messages

    def tell(self, message: Any) -> None:
        self.told.append(message)

    def mark_ready(self) -> None:
        self.phase = Phase.READY

    def drain(self, deadline: float) -> None:
        self.phase = Phase.DRAINING
        self.kill_at = 1000.0
        self.drained.append(deadline)

    def kill(self, *, hung: bool = False) -> None:
        self.kill_at = None
        self.killed.append(hung)

    def heartbeat_age(self) -> float:
        return self.beat

    def sample(self) -> int:
        return self.memory

    def reap(self) -> Exit:
        self.row.clear()
        return self.exit


class Harness:
    """A fleet, and what happens to its processes."""

    def __init__(self, table: WorkerTable, workers: int, supervision: SupervisionSettings) -> None:
        self.table = table
        self.made: list[FakeProcess] = []
        self.no_process = False
        self.fleet = Fleet(workers, spec("old"), supervision, table, self._spawn)
        self.fleet.start()

    def _spawn(self, spec: WorkerSpec, **arguments: Any) -> WorkerProcess:
        if self.no_process:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        process = FakeProcess(spec, **arguments)
        self.made.append(process)
        return process  # type: ignore[return-value]

    def say(self, process: FakeProcess, message: str) -> None:
        process.messages.append({"type": message})
        self.fleet.handle({process.control})

    def ready(self, *processes: FakeProcess) -> None:
        for process in processes:
            self.say(process, "ready")

    def die(self, process: FakeProcess, code: int = -9) -> None:
        process.exit = Exit(
            code, ready=process.phase is not Phase.STARTING, hung=any(process.killed)
        )
        self.fleet.handle({process.sentinel})

    def all_ready(self) -> list[FakeProcess]:
        self.ready(*self.made)
        return list(self.made)

    def new(self) -> FakeProcess:
        """The one process that was made since the last look."""
        seen = getattr(self, "_seen", 0)
        assert len(self.made) == seen + 1
        self._seen = len(self.made)
        return self.made[-1]

    def look(self) -> None:
        """Take note of how many processes have been made."""
        self._seen = len(self.made)
