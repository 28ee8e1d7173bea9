"""One worker as its supervisor sees it: a process, a pipe, a row, a phase.

Nothing here waits: whoever owns a `WorkerProcess` watches its `sentinel` and `control` and
calls in when they become readable. What runs in the child is handed in as `target`.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import msgpack
import multiprocess
import psutil

from relay.auth import NO_ADMIN, AdminAuthorizer, TokenAuthorizer
from relay.restart_policy import Exit
from relay.system import hand_over, hold_back_signals
from workers.certificate import Certificate
from workers.settings import Limits, ViewerSettings
from workers.table import Column, WorkerRow, WorkerState

__all__ = ["Phase", "Target", "WorkerProcess", "WorkerSpec"]

KILL_GRACE: Final = 2.0
"""Seconds after its drain deadline that a worker has before it is killed."""

# Named explicitly: a forked worker would inherit the supervisor's locks and descriptors, and
# the platform's default start method differs between versions of Python.
_SPAWN: Final = multiprocess.get_context("spawn")
_MESSAGE_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker is started with, besides its listener and its pipe. It is pickled."""

    instance: str
    engine: str
    limits: Limits
    viewer: ViewerSettings
    authorizer: TokenAuthorizer
    log_level: str
    log_format: str = "text"
    certificate: Certificate | None = None
    admin: AdminAuthorizer = NO_ADMIN


Target = Callable[..., object]
"""Runs in the child: ``target(spec, slot, row, listener, control)``; see `relay.launch`."""


class Phase(Enum):
    """A worker's life; only forward."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class WorkerProcess:
    """One child.

    Attributes:
        slot: its place among the workers.
        generation: how many workers were started there, up to this one.
        row: its row in the worker table.
        control: pipe to it.
        pid: process id.
        phase: where it is in its life.
        started: monotonic seconds.
        kill_at: monotonic seconds after which it is killed; None: no deadline.
    """

    def __init__(
        self,
        target: Target,
        listener: socket.socket,
        spec: WorkerSpec,
        *,
        slot: int,
        generation: int,
        restarts: int,
        row: WorkerRow,
    ) -> None:
        """Start the process.

        Args:
            target: what runs in it.
            listener: the listening socket, which it inherits.
            spec: what it is started with.
            slot, generation, restarts: for its row.
            row: a free row; its columns are the supervisor's until the worker is ready.
        """
        self.slot = slot
        self.generation = generation
        self.row = row
        self.phase = Phase.STARTING
        self.started = time.monotonic()
        self.kill_at: float | None = None
        self._was_ready = False
        self._hung = False
        row.clear()
        row[Column.SLOT] = slot
        row[Column.GENERATION] = generation
        row[Column.RESTARTS] = restarts
        row[Column.STARTED_NS] = row[Column.HEARTBEAT_NS] = time.monotonic_ns()
        row[Column.STATE] = WorkerState.STARTING
        self.control, childs_end = _SPAWN.Pipe(duplex=True)
        self._process = _SPAWN.Process(
            target=target,
            args=(spec, slot, row.index, hand_over(listener), childs_end),
            name=f"worker-{slot}",
            daemon=True,
        )
        try:
            with hold_back_signals():
                self._process.start()
        except BaseException:
            self.control.close()
            row.clear()
            raise
        finally:
            childs_end.close()
        self.pid: int = self._process.pid
        row[Column.PID] = self.pid
        self._usage = psutil.Process(self.pid)

    def __str__(self) -> str:
        return f"worker {self.slot} (pid {self.pid})"

    @property
    def log_fields(self) -> Mapping[str, int]:
        """For lines about it; see `relay.logs`."""
        return {"worker": self.slot, "worker_pid": self.pid}

    @property
    def sentinel(self) -> int:
        """Readable when the process has ended."""
        return int(self._process.sentinel)

    @property
    def uptime(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    def receive(self) -> list[dict[str, Any]]:
        """The messages that wait in its pipe; each has a ``type``.

        Closes the pipe at its end; the death that follows is told by the sentinel.
        """
        messages: list[dict[str, Any]] = []
        try:
            while not self.control.closed and self.control.poll(0):
                message = msgpack.unpackb(self.control.recv_bytes(_MESSAGE_BYTES))
                if isinstance(message, dict) and "type" in message:
                    messages.append(message)
        except (EOFError, OSError, ValueError):
            self.control.close()
        return messages

    def mark_ready(self) -> None:
        """It accepts connections."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY
            self._was_ready = True

    def drain(self, deadline: float) -> None:
        """Ask it to finish within ``deadline`` seconds; it is killed some time after."""
        if self.phase is Phase.DRAINING:
            return
        self.phase = Phase.DRAINING
        self.kill_at = time.monotonic() + deadline + KILL_GRACE
        self.tell({"type": "drain", "deadline": deadline})

    def tell(self, message: Mapping[str, object]) -> None:
        """Send it a message, if it is there to read it."""
        with contextlib.suppress(OSError):
            self.control.send_bytes(msgpack.packb(message))

    def kill(self, *, hung: bool = False) -> None:
        """Kill it now; its sentinel tells when it is gone."""
        self._hung = self._hung or hung
        self.kill_at = None
        self._process.kill()

    def heartbeat_age(self) -> float:
        """Seconds since its last sign of life."""
        return (time.monotonic_ns() - self.row[Column.HEARTBEAT_NS]) / 1e9

    def sample(self) -> int:
        """Write its processor time and memory into its row.

        Returns:
            Bytes of memory of its own: rings, which it shares with everybody, not counted.
        """
        try:
            with self._usage.oneshot():
                memory = self._usage.memory_info()
                percent = self._usage.cpu_percent()
        except psutil.Error:
            return 0
        self.row[Column.CPU_MILLI] = int(percent * 10)
        self.row[Column.RSS] = memory.rss
        return int(memory.rss - getattr(memory, "shared", 0))

    def reap(self) -> Exit:
        """Collect a process that has ended: its row is free and its pipe is closed."""
        self.row.clear()
        self._process.join()
        code = int(self._process.exitcode)
        self._process.close()
        self.control.close()
        return Exit(code, self._was_ready, self._hung)
