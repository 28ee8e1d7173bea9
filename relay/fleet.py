"""The set of workers: each place filled, one replaced at a time, all drained at the end.

A `Fleet` is driven from outside: its owner waits until one of `sources` is readable or
`next_due` has come, then calls `handle` and `advance`. It never waits and never accepts.

Who dies is started again as its place's policy says (`relay.restart_policy`); who is to be
replaced gets a successor first (`relay.roll`).
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Container, Mapping
from typing import Any, Final

from bus.doorbell import open_ringer, remove_doorbell
from relay.errors import WorkersFailed
from relay.restart_policy import Exit, Restart, RestartPolicy
from relay.roll import Place, Roll
from relay.settings import SupervisionSettings
from relay.worker_process import Phase, WorkerProcess, WorkerSpec
from workers.gate import open_gates
from workers.table import Column, WorkerTable
from workers.viewer_table import remove_viewers

__all__ = ["Fleet", "Spawn", "table_rows"]

log = logging.getLogger(__name__)

RECYCLE_INTERVAL: Final = 60.0
"""Seconds between two replacements of one worker for its memory."""
MIB: Final = 1024 * 1024

Spawn = Callable[..., WorkerProcess]
"""Starts a worker: ``spawn(spec, slot=, generation=, restarts=, row=)``."""


def table_rows(workers: int) -> int:
    """Rows that a table needs so that workers can overlap while they are replaced."""
    return 2 * workers + 2


class Fleet:
    """All workers of one relay.

    Attributes:
        failure: why the relay has to be given up; None while it has not.
    """

    def __init__(
        self,
        workers: int,
        spec: WorkerSpec,
        supervision: SupervisionSettings,
        table: WorkerTable,
        spawn: Spawn,
    ) -> None:
        self._instance = spec.instance
        self._supervision = supervision
        self._table = table
        self._spawn = spawn
        self._ringer = open_ringer(spec.instance)
        self._places = [Place(number, RestartPolicy(supervision)) for number in range(workers)]
        self._free_rows = set(range(len(table)))
        self._alive: list[WorkerProcess] = []
        self._roll = Roll(spec, self._start, self._refill)
        self._stopping = False
        self.failure: WorkersFailed | None = None

    def start(self) -> None:
        """Fill every place."""
        for place in self._places:
            self._fill(place)

    # What the owner waits for.

    @property
    def alive(self) -> bool:
        """Whether any process is left."""
        return bool(self._alive)

    @property
    def all_ready(self) -> bool:
        """Whether a worker is ready in every place."""
        return all(place.serves for place in self._places)

    @property
    def rolling(self) -> bool:
        """Whether workers are being replaced."""
        return self._roll.under_way

    def sources(self) -> list[Any]:
        """What to wait for: pipes and sentinels."""
        found: list[Any] = [each.sentinel for each in self._alive]
        found.extend(each.control for each in self._alive if not each.control.closed)
        return found

    def next_due(self) -> float | None:
        """Monotonic seconds at which `advance` must be called again; None: no need."""
        times = [place.restart_at for place in self._places]
        times.extend(each.kill_at for each in self._alive)
        return min((at for at in times if at is not None), default=None)

    def handle(self, readable: Container[Any]) -> list[dict[str, Any]]:
        """Act on what became readable.

        Returns:
            What operators ask for, through a worker; see `relay.admin`.
        """
        asked: list[dict[str, Any]] = []
        for worker in list(self._alive):
            died = worker.sentinel in readable
            # Its last words come before its death.
            if died or worker.control in readable:
                for message in worker.receive():
                    if message["type"] == "admin":
                        asked.append(message)
                    else:
                        self._on_message(worker, str(message["type"]))
            if died:
                self._on_death(worker)
        return asked

    def advance(self, now: float) -> None:
        """Do what is due: restarts, kills, the next replacement."""
        for worker in self._alive:
            if worker.kill_at is not None and now >= worker.kill_at:
                log.warning("%s did not stop in time and is killed", worker)
                worker.kill()
        if self._stopping:
            return
        for place in self._places:
            if place.restart_at is not None and now >= place.restart_at:
                place.restart_at = None
                place.restarts += 1
                self._fill(place)
        self._roll.advance()

    # Once a second.

    def kill_hung(self) -> None:
        """Kill workers that gave no sign of life for too long."""
        for worker in self._alive:
            if worker.phase is Phase.STARTING and worker.uptime > self._supervision.start_timeout:
                log.error("%s is not ready after %.0f s and is killed", worker, worker.uptime)
                worker.kill(hung=True)
            elif worker.phase is Phase.READY:
                age = worker.heartbeat_age()
                if age > self._supervision.hang_timeout:
                    log.error("%s hangs (no heartbeat for %.1f s) and is killed", worker, age)
                    worker.kill(hung=True)

    def sample(self, now: float) -> None:
        """Take every worker's processor time and memory; replace those above the limit."""
        limit = self._supervision.memory_limit * MIB
        for worker in self._alive:
            memory = worker.sample()
            place = self._places[worker.slot]
            above = limit and memory > limit and worker.phase is Phase.READY
            if above and worker is place.worker and now >= place.recycle_after:
                place.recycle_after = now + RECYCLE_INTERVAL
                self._recycle(worker, f"has {memory // MIB} MiB of memory, more than its limit")

    # What the owner asks for.

    def roll(self, spec: WorkerSpec, supervision: SupervisionSettings) -> None:
        """Replace all workers, one by one, by workers with other settings."""
        self._supervision = supervision
        for place in self._places:
            place.policy.configure(supervision)
        self._roll.replace_all(self._places, spec)
        self._roll.advance()

    def tell(self, message: Mapping[str, object], to: tuple[int, int] | None = None) -> None:
        """Send a message to all workers, or to that of a place and a generation."""
        for worker in self._alive:
            if to is None or to == (worker.slot, worker.generation):
                worker.tell(message)

    def restart(self, slot: int) -> None:
        """Replace a worker, or fill the place of one that was taken out."""
        place = self._places[slot]
        if place.worker is not None and place.serves:
            self._recycle(place.worker, "is to be restarted")
        elif place.worker is None and place.out:
            place.out = False
            self._fill(place)

    def take_out(self, slot: int) -> None:
        """Drain a worker and leave its place empty until `restart` or `roll`."""
        place = self._places[slot]
        worker = place.worker
        if worker is None or not place.serves or self._roll.at(place):
            log.warning("worker %d is not taken out: it is not serving, or being replaced", slot)
        elif not any(each.serves for each in self._places if each is not place):
            log.warning("%s is not taken out: no other serves", worker)
        else:
            log.info("%s is taken out", worker)
            place.out = True
            worker.drain(self._roll.spec.viewer.drain_timeout)

    def renew_certificate(self, spec: WorkerSpec, supervision: SupervisionSettings) -> bool:
        """Give workers a new certificate, if that is all that is new.

        Returns:
            Whether it was; if not, nothing has happened.
        """
        new, old = spec.certificate, self._roll.spec.certificate
        only = dataclasses.replace(self._roll.spec, certificate=new)
        if new is None or old is None or new == old or spec != only:
            return False
        if supervision != self._supervision or self.rolling:
            return False
        self._roll.spec = spec
        self.tell({"type": "certificate", "pem": new.pem, "expires": new.expires})
        return True

    def drain(self) -> None:
        """Stop for good: let the workers that serve finish, and kill the others."""
        self._stopping = True
        self._roll.give_up()
        for place in self._places:
            place.restart_at = None
        for worker in self._alive:
            if worker.phase is Phase.STARTING:
                worker.kill()
            else:
                worker.drain(self._roll.spec.viewer.drain_timeout)

    def kill(self) -> None:
        """Stop for good and at once."""
        self._stopping = True
        for worker in self._alive:
            worker.kill()

    def reap_all(self) -> None:
        """Collect processes that were killed, waiting for each."""
        for worker in list(self._alive):
            self._collect(worker)
        self._ringer.close()

    # How it works.

    def _fill(self, place: Place) -> None:
        place.worker = self._start(place, self._roll.spec)
        if place.worker is None:
            self._refill(place, Exit(1, ready=False))

    def _start(self, place: Place, spec: WorkerSpec) -> WorkerProcess | None:
        place.generation += 1
        row = min(self._free_rows)
        try:
            worker = self._spawn(
                spec,
                slot=place.number,
                generation=place.generation,
                restarts=place.restarts,
                row=self._table.row(row),
            )
        except OSError as exc:
            # Out of processes, memory or descriptors: that may pass.
            log.error("worker %d cannot be started now: %s", place.number, exc.strerror or exc)
            return None
        self._free_rows.discard(row)
        self._alive.append(worker)
        log.debug("%s started", worker)
        return worker

    def _collect(self, worker: WorkerProcess) -> Exit:
        bell = worker.row[Column.BELL]
        exit_ = worker.reap()
        if bell:
            remove_doorbell(self._instance, bell)
        remove_viewers(self._instance, worker.pid)
        self._alive.remove(worker)
        self._free_rows.add(worker.row.index)
        # The others may have been waiting for this one to accept the next connection.
        open_gates(self._table, self._ringer)
        return exit_

    def _on_message(self, worker: WorkerProcess, message: str) -> None:
        if message == "ready":
            self._on_ready(worker)
        elif message == "recycle":
            self._recycle(worker, "was asked to stop")
        else:
            log.warning("%s said %r, which means nothing here", worker, message)

    def _on_ready(self, worker: WorkerProcess) -> None:
        if worker.phase is not Phase.STARTING:
            return
        worker.mark_ready()
        worker.sample()
        place = self._places[worker.slot]
        place.policy.ready()
        log.info("%s is ready after %.1f s", worker, worker.uptime)
        self._roll.ready(worker)

    def _on_death(self, worker: WorkerProcess) -> None:
        uptime = worker.uptime
        exit_ = self._collect(worker)
        drained = worker.phase is Phase.DRAINING and exit_.code == 0
        level = logging.INFO if drained or self._stopping else logging.WARNING
        words = "drained and left" if drained else exit_
        log.log(level, "%s %s after %.1f s", worker, words, uptime)
        if self._stopping:
            return
        place = self._places[worker.slot]
        if self._roll.died(worker, exit_) or worker is not place.worker:
            return
        place.worker = None
        if not place.out and not self._roll.at(place):
            self._refill(place, exit_)

    def _refill(self, place: Place, exit_: Exit) -> None:
        now = time.monotonic()
        decision = place.policy.next(now, exit_)
        if isinstance(decision, Restart):
            place.restart_at = now + decision.delay
            if decision.delay:
                log.info("worker %d is started again in %.2f s", place.number, decision.delay)
        else:
            self.failure = WorkersFailed(
                f"worker {place.number} {decision.reason}", decision.exit_code
            )

    def _recycle(self, worker: WorkerProcess, why: str) -> None:
        place = self._places[worker.slot]
        serves = worker is place.worker and place.serves
        if serves and not self._stopping and self._roll.replace(place):
            log.info("%s %s and is replaced", worker, why)
