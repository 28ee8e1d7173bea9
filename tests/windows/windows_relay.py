"""A relay in a Windows Python, with everything that tests of relays ask of one.

Under Wine its processes are this system's, too, and can be counted and measured from here;
its shared memory is seen by a witness in there.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO, Final

import psutil

from tests.e2e.relay import Relay
from tests.e2e.waiting import WATCHDOG, wait_until
from tests.platforms import WINDOWS, open_descriptors
from tests.windows.pythons import ROOT, Outcome, WindowsPython
from tests.windows.witness import Witness
from workers.table import Column, WorkerState, WorkerStats

__all__ = ["WindowsRelay"]

_SERVICE: Final = ROOT / "deploy" / "windows" / "live-frame-relay.xml"
_MODULES: Final = frozenset({"relay", "relay.publish", "relay.cluster"})


class WindowsRelay(Relay):
    """One ``relay-supervisor`` in a Windows Python."""

    def __init__(
        self,
        windows: WindowsPython,
        witness: Witness,
        instance: str,
        *options: str,
        workers: int = 3,
        broken_module: str = "",
        service: Path | None = None,
    ) -> None:
        """Start it; `wait_ready` waits for it.

        Args:
            windows: where.
            witness: who tells of it from there.
            instance: a name of its own.
            *options: further flags.
            workers: how many.
            broken_module: name of a module that cannot be imported in there.
            service: folder with the ``relay.toml`` of a service; all but it is left to that file.
        """
        self._windows = windows
        self._witness = witness
        self._complaints: list[str] = []
        fixed = ("--workers", str(workers), "--port", "0", "--instance", instance)
        path = [windows.folder / "broken"] if broken_module else []
        for folder in path:
            folder.mkdir()
            (folder / f"{broken_module}.py").write_text('raise RuntimeError("broken")\n')
        command: tuple[str | Path, ...] = ("-m", "relay", *fixed, *options)
        if service is not None:
            command = ("-m", "tests.windows.guests.wrapper", _SERVICE, service)
        process = windows.popen(*command, path=path)
        assert process.stdin is not None and process.stderr is not None
        process.stdin.close()
        self._hearer = threading.Thread(target=self._hear, args=(process.stderr,), daemon=True)
        self._hearer.start()
        super().__init__(instance, process)

    def _hear(self, stream: IO[str]) -> None:
        with stream:
            self._complaints.extend(stream)

    def log(self) -> str:
        """Its standard error so far; all of it once the supervisor has ended."""
        if not self.running:
            self._hearer.join(WATCHDOG)
        return "".join(self._complaints)

    def wait(self) -> int:
        """Wait for the supervisor's end; its exit status."""
        code = super().wait()
        self._hearer.join(WATCHDOG)
        return code

    def run_command(self, module: str, *options: str | Path, instance: str | None = "") -> Outcome:
        """Run another of the product's commands over there, to its end.

        Args:
            module: of the command.
            *options: of the command.
            instance: for which instance, by default this relay's; None: it knows of none.
        """
        fixed = () if instance is None else ("--instance", instance or self.instance)
        return self._windows.run_module(module, *fixed, *options, patience=WATCHDOG)

    def send_signal(self, number: signal.Signals) -> None:
        """A console event, whatever the signal."""
        self._windows.interrupt(self._process)

    def kill(self) -> None:
        """End the supervisor without a warning."""
        self._process.kill()

    def rows(self) -> list[WorkerStats]:
        """The worker table, without asking any worker; empty when there is none."""
        return [
            WorkerStats({Column(int(key)): value for key, value in values.items()}, state, age)
            for values, number, age in self._witness.ask("rows", self.instance) or ()
            for state in (WorkerState(number),)
        ]

    def objects(self) -> list[str]:
        """What is in shared memory under its instance's name, except streams."""
        found: list[str] = self._witness.ask("objects", self.instance)
        return found

    def reload(self) -> None:
        """By the command, which sets an event that the supervisor waits for."""
        outcome = self.run_command("relay.cli.reload")
        assert outcome.code == 0, outcome.stderr

    def kill_worker(self, pid: int) -> None:
        """By TerminateProcess."""
        self._witness.ask("kill", self.instance, pid)

    def pids_there(self) -> list[int]:
        """Process ids, as they are over there, of workers and supervisor; the youngest first."""
        rows = sorted(self.rows(), key=lambda row: row[Column.STARTED_NS], reverse=True)
        supervisor: int = self._witness.ask("supervisor", self.instance)
        return [*(row[Column.PID] for row in rows), supervisor]

    def _workers(self) -> list[psutil.Process]:
        return [process for process in self._neighbours() if _is_worker(process)]

    def _servers(self) -> list[psutil.Process]:
        return [
            process
            for process in self._neighbours()
            if any("wineserver" in word for word in _words(process))
        ]

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to it: supervisor, workers, programs beside them."""
        return [
            process
            for process in self._neighbours()
            if _MODULES & {*_words(process)} or _is_worker(process)
        ]

    def bridges(self) -> list[psutil.Process]:
        """Its bridge to a cluster, if it is alive."""
        return [process for process in self.processes() if "relay.cluster" in _words(process)]

    def descriptors(self) -> dict[int, int]:
        """Those of Wine's server, which holds all handles there are; natively those of workers."""
        if WINDOWS:
            return {process.pid: open_descriptors(process.pid) for process in self._workers()}
        return {process.pid: open_descriptors(process.pid) for process in self._servers()}

    def cpu_seconds(self) -> dict[int, float]:
        """CPU time that each worker has used."""
        return {process.pid: _cpu_seconds(process) for process in self._workers()}

    def server_cpu_seconds(self) -> float:
        """CPU time that Wine's server has used, for all that run under it."""
        return sum(map(_cpu_seconds, self._servers()))

    def own_memory(self) -> dict[int, int]:
        """Each worker's."""
        return {process.pid: process.memory_full_info().uss for process in self._workers()}

    def _neighbours(self) -> list[psutil.Process]:
        name, value = self._windows.mark
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(name) == value:
                    found.append(process)
            except psutil.Error:
                continue
        return [each for each in found if each.is_running() and each.pid != os.getpid()]

    def clean_up(self) -> list[str]:
        """Stop whatever is left, by force if need be; what should not have been left."""
        left = []
        if self.running:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                left.append("the supervisor does not stop on Ctrl-C")
                self.kill()
        try:
            wait_until(lambda: not self.processes(), "the end of all", limit=10.0)
        except AssertionError:
            left += [f"process {each.pid}: {_words(each)}" for each in self.processes()]
        return left + self.objects()


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _is_worker(process: psutil.Process) -> bool:
    return any("spawn_main" in word for word in _words(process))


def _words(process: psutil.Process) -> list[str]:
    """Its command line; none when it has gone meanwhile."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
