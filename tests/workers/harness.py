"""Real workers without the supervisor: child processes, one listener, one table of rows.

A `Fleet` starts them the way the supervisor does and looks at them from outside only:
through the shared table, the control pipes, the operating system and their log. A worker
that logs an error fails the test that used it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, Self

import msgpack
import multiprocess
import psutil

from bus.names import instance_prefix
from bus.reclaim import reclaim
from bus.segment import list_objects
from tests.platforms import WINDOWS, open_descriptors
from workers.context import WorkerContext
from workers.ports import Action, PageRequest, PageResponse, Peer
from workers.settings import Limits, ViewerSettings
from workers.table import Column, WorkerRow, WorkerState, WorkerTable
from workers.worker import run_worker

__all__ = [
    "BIG_PAGE",
    "SECRET_STREAM",
    "TOKEN",
    "WATCHDOG",
    "Fleet",
    "Worker",
    "private_instance",
    "wait_until",
]

WATCHDOG: Final = 20.0
"""Seconds after which a condition that should come true counts as failed."""
BIG_PAGE: Final = b"x" * (8 << 20)
SECRET_STREAM: Final = "secret"
TOKEN: Final = "open-sesame"

_SPAWN = multiprocess.get_context("spawn")
_POLL: Final = 0.005
_LOUD: Final = re.compile(r"^(?:ERROR|CRITICAL) .*", re.MULTILINE)


def wait_until(condition: Callable[[], object], what: str, *, timeout: float = WATCHDOG) -> None:
    """Look at a condition that other processes bring about until it holds.

    Raises:
        AssertionError: when the watchdog's time is over.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(_POLL)


@contextlib.contextmanager
def private_instance() -> Iterator[str]:
    """An instance name for a whole module; as the `instance` fixture, it must be left clean."""
    name = f"test-{os.getpid()}-{secrets.token_hex(4)}"
    yield name
    left = list_objects(instance_prefix(name))
    reclaim(name)
    assert not left, f"left in shared memory: {left}"


class OpenAuthorizer:
    """Everything is allowed but `SECRET_STREAM`, which takes `TOKEN`."""

    def refusal(self, action: Action, stream: str, peer: Peer) -> str | None:
        if stream == SECRET_STREAM and peer.token != TOKEN:
            return f"you may not {action.value} this stream"
        return None


class FewPages:
    """A small page at ``/``, a big one at ``/big``, and what was asked for at ``/echo``."""

    def respond(self, request: PageRequest) -> PageResponse | None:
        match request.path:
            case "/":
                return PageResponse(200, "text/plain", b"hello\n", {"X-Test": "yes"})
            case "/big":
                return PageResponse(200, "application/octet-stream", BIG_PAGE)
            case "/echo":
                told = f"{request.peer.token} {request.peer.host} {dict(request.query)}"
                return PageResponse(200, "text/plain", told.encode())
        return None


@dataclass(frozen=True)
class _Spec:
    instance: str
    limits: Limits
    viewer: ViewerSettings
    engine: str
    log: str


def _child(spec: _Spec, row: int, slot: int, listener: socket.socket, control: Any) -> None:
    logging.basicConfig(
        filename=spec.log, level=logging.INFO, format=f"%(levelname)s worker-{slot} %(message)s"
    )
    sys.unraisablehook = lambda broken: logging.error("unraisable: %r", broken.exc_value)
    context = WorkerContext(
        instance=spec.instance,
        row=row,
        slot=slot,
        listener=listener,
        control=control,
        authorizer=OpenAuthorizer(),
        pages=FewPages(),
        limits=spec.limits,
        viewer=spec.viewer,
        engine=spec.engine,
    )
    sys.exit(run_worker(context))


@contextlib.contextmanager
def _nameless_main() -> Iterator[None]:
    """Children import the main module of their parent; pytest's would only cost them time."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class Worker:
    """One child.

    Attributes:
        row: its row in the table.
        control: the supervisor's end of its pipe.
        pid: process id.
    """

    def __init__(self, process: Any, control: Any, row: WorkerRow) -> None:
        self._process = process
        self.control = control
        self.row = row
        self.pid: int = process.pid
        self.usage = psutil.Process(self.pid)

    def wait_ready(self) -> None:
        """Return when it accepts."""
        assert self.control.poll(WATCHDOG), "the worker never became ready"
        assert msgpack.unpackb(self.control.recv_bytes()) == {"type": "ready"}

    def suspend(self) -> None:
        """Let it hang; return when it does."""
        self.usage.suspend()
        if not WINDOWS:
            wait_until(lambda: self.usage.status() == psutil.STATUS_STOPPED, "worker stopped")

    def resume(self) -> None:
        """End `suspend`."""
        self.usage.resume()

    def kill(self) -> None:
        """End it with no chance to clean up."""
        self._process.kill()

    def drain(self, deadline: float = WATCHDOG) -> None:
        """Ask it to finish, as the supervisor does."""
        self.control.send_bytes(msgpack.packb({"type": "drain", "deadline": deadline}))

    def join(self) -> int:
        """Wait for its end.

        Returns:
            Its exit code.
        """
        self._process.join(WATCHDOG)
        assert self._process.exitcode is not None, "the worker did not leave"
        return int(self._process.exitcode)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return bool(self._process.is_alive())

    def memory(self) -> int:
        """Bytes of memory of its own, without the rings that it shares."""
        usage = self.usage.memory_info()
        if sys.platform == "win32":
            return int(usage.vms)
        return int(usage.rss - usage.shared)

    def cpu_seconds(self) -> float:
        """CPU time that it has used."""
        times = self.usage.cpu_times()
        return float(times.user + times.system)

    def descriptors(self) -> int:
        """How many file descriptors, on Windows handles, it has open."""
        return open_descriptors(self.pid)

    def close(self) -> None:
        """End it by force if it still runs, and collect it."""
        if self.running:
            self._process.kill()
        self._process.join()
        self._process.close()
        self.control.close()


class Fleet:
    """Some workers on one listener. A context manager.

    Attributes:
        instance: instance name.
        port: where they listen, on 127.0.0.1.
        table: all rows.
        workers: those that were started, in the order of their slots.
        idle_descriptors: open files of a worker that serves nobody.
        expected_error: words of the one error that may be, and must be, in the log.
    """

    def __init__(
        self,
        instance: str,
        log: Path,
        *,
        workers: int = 1,
        limits: Limits | None = None,
        viewer: ViewerSettings | None = None,
        engine: str = "auto",
    ) -> None:
        self.instance = instance
        self.workers: list[Worker] = []
        self.expected_error: str | None = None
        self._log = log
        self._spec = _Spec(
            instance, limits or Limits(), viewer or ViewerSettings(), engine, str(log)
        )
        self.table = WorkerTable.create(instance, 2 * workers + 2, os.getpid())
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        try:
            for _ in range(workers):
                self.start()
            for worker in self.workers:
                worker.wait_ready()
            self._warm_up()
        except BaseException:
            self._release()
            raise

    def _warm_up(self) -> None:
        """The first connection makes the event loop open what it keeps for good."""
        for _ in self.workers:
            with socket.create_connection(("127.0.0.1", self.port), WATCHDOG) as sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while sock.recv(4096):
                    pass
        wait_until(lambda: self.total(Column.CONNECTIONS) == 0, "warm")
        self.idle_descriptors = max(worker.descriptors() for worker in self.workers)

    def start(self) -> Worker:
        """Start one more worker; it is not ready yet."""
        index = len(self.workers)
        row = self.table.row(index)
        row.clear()
        row[Column.SLOT] = index
        row[Column.STARTED_NS] = row[Column.HEARTBEAT_NS] = time.monotonic_ns()
        row[Column.STATE] = WorkerState.STARTING
        control, childs_end = _SPAWN.Pipe(duplex=True)
        process = _SPAWN.Process(
            target=_child, args=(self._spec, index, index, self.listener, childs_end), daemon=True
        )
        with _nameless_main():
            process.start()
        childs_end.close()
        row[Column.PID] = process.pid
        worker = Worker(process, control, row)
        self.workers.append(worker)
        return worker

    @property
    def worker(self) -> Worker:
        """The only one."""
        (worker,) = self.workers
        return worker

    def total(self, column: Column) -> int:
        """Sum of a column over all workers."""
        return sum(worker.row[column] for worker in self.workers)

    def log(self) -> str:
        """What the workers logged."""
        return self._log.read_text() if self._log.exists() else ""

    def close(self, *, quiet: bool = True) -> None:
        """Drain what still runs, collect all, leave nothing behind.

        Args:
            quiet: fail when a worker logged an error.
        """
        try:
            for worker in self.workers:
                if worker.running:
                    # Stopped by a test that failed half-way, perhaps.
                    worker.resume()
                    worker.drain(1.0)
            for worker in self.workers:
                worker.join()
        finally:
            self._release()
        if quiet:
            loud = _LOUD.findall(self.log())
            if self.expected_error is None:
                assert not loud, self.log()
            else:
                assert len(loud) == 1 and self.expected_error in loud[0], self.log()

    def _release(self) -> None:
        for worker in self.workers:
            worker.close()
        self.listener.close()
        self.table.unlink()
        self.table.close()
        # What killed workers left; after an orderly end there is nothing.
        reclaim(self.instance)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A first failure tells more than the errors that follow from it.
        self.close(quiet=error is None)
