"""The set of workers: each place filled, one replaced at a time, all drained at the end.

A `Fleet` is driven from outside: its owner waits until one of `sources` is readable or
`next_due` has come, then calls `handle` and `advance`. It never waits and never accepts.

A place (`_Place`) is empty, or filled by the worker that serves there. A replacement goes
through a `_Roll`::

    queue ──► successor STARTING ──ready──► takes the place ──► predecessor DRAINING ──► next
                     │
                     └─ dies: the rest of the queue is given up, the place keeps its worker

so that at no moment more than one worker is on its way out.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bus.doorbell import open_ringer, remove_doorbell
from relay.errors import WorkersFailed
from relay.restart_policy import Exit, Restart, RestartPolicy
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


@dataclass(slots=True)
class _Place:
    number: int
    policy: RestartPolicy
    worker: WorkerProcess | None = None
    restart_at: float | None = None
    generation: int = 0
    restarts: int = 0
    recycle_after: float = 0.0
    out: bool = False
    """Whether an operator took its worker out."""


@dataclass(slots=True)
class _Roll:
    queue: deque[int] = field(default_factory=deque)
    place: _Place | None = None
    successor: WorkerProcess | None = None
    predecessor: WorkerProcess | None = None
    spec: WorkerSpec | None = None
    """What the queue is replaced with; None: the same settings again."""
    on_trial: WorkerSpec | None = None
    """What the successor was started with, until it has proved to start."""


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
        self._spec = spec
        self._supervision = supervision
        self._table = table
        self._spawn_process = spawn
        self._ringer = open_ringer(spec.instance)
        self._places = [_Place(number, RestartPolicy(supervision)) for number in range(workers)]
        self._free_rows = set(range(len(table)))
        self._alive: list[WorkerProcess] = []
        self._roll = _Roll()
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
        return all(
            place.worker is not None and place.worker.phase is Phase.READY for place in self._places
        )

    @property
    def rolling(self) -> bool:
        """Whether workers are being replaced."""
        return bool(self._roll.queue) or self._roll.place is not None

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
        self._advance_roll()

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
        self._roll.spec = spec
        self._roll.queue = deque(place.number for place in self._places)
        self._advance_roll()

    def tell(self, message: Mapping[str, object], to: tuple[int, int] | None = None) -> None:
        """Send a message to all workers, or to that of a place and a generation."""
        for worker in self._alive:
            if to is None or to == (worker.slot, worker.generation):
                worker.tell(message)

    def restart(self, slot: int) -> None:
        """Replace a worker, or fill the place of one that was taken out."""
        place = self._places[slot]
        if place.worker is not None and place.worker.phase is Phase.READY:
            self._recycle(place.worker, "is to be restarted")
        elif place.worker is None and place.out:
            place.out = False
            self._fill(place)

    def take_out(self, slot: int) -> None:
        """Drain a worker and leave its place empty until `restart` or `roll`."""
        place = self._places[slot]
        worker = place.worker
        others = any(
            each.worker is not None and each.worker.phase is Phase.READY and each is not place
            for each in self._places
        )
        if worker is None or worker.phase is not Phase.READY or self._roll.place is place:
            log.warning("worker %d is not taken out: it is not serving, or being replaced", slot)
        elif not others:
            log.warning("%s is not taken out: no other serves", worker)
        else:
            log.info("%s is taken out", worker)
            place.out = True
            worker.drain(self._spec.viewer.drain_timeout)

    def renew_certificate(self, spec: WorkerSpec, supervision: SupervisionSettings) -> bool:
        """Give workers a new certificate, if that is all that is new.

        Returns:
            Whether it was; if not, nothing has happened.
        """
        new, old = spec.certificate, self._spec.certificate
        only = dataclasses.replace(self._spec, certificate=new)
        if new is None or old is None or new == old or spec != only:
            return False
        if supervision != self._supervision or self.rolling:
            return False
        self._spec = spec
        self.tell({"type": "certificate", "pem": new.pem, "expires": new.expires})
        return True

    def drain(self) -> None:
        """Stop for good: let the workers that serve finish, and kill the others."""
        self._stopping = True
        self._roll = _Roll()
        for place in self._places:
            place.restart_at = None
        for worker in self._alive:
            if worker.phase is Phase.STARTING:
                worker.kill()
            else:
                worker.drain(self._spec.viewer.drain_timeout)

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

    def _fill(self, place: _Place) -> None:
        place.worker = self._spawn(place, self._spec)
        if place.worker is None:
            self._refill(place, Exit(1, ready=False))

    def _spawn(self, place: _Place, spec: WorkerSpec) -> WorkerProcess | None:
        place.generation += 1
        row = min(self._free_rows)
        try:
            worker = self._spawn_process(
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
            remove_doorbell(self._spec.instance, bell)
        remove_viewers(self._spec.instance, worker.pid)
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
        if worker is self._roll.successor:
            self._hand_over(place, worker)

    def _hand_over(self, place: _Place, successor: WorkerProcess) -> None:
        roll = self._roll
        roll.successor = None
        if roll.on_trial is not None:
            # Proven to start: from now on every worker is started with these.
            self._spec = roll.on_trial
        roll.predecessor, place.worker = place.worker, successor
        place.out = False
        if roll.predecessor is None:
            roll.place = None
        else:
            roll.predecessor.drain(self._spec.viewer.drain_timeout)

    def _on_death(self, worker: WorkerProcess) -> None:
        uptime = worker.uptime
        exit_ = self._collect(worker)
        drained = worker.phase is Phase.DRAINING and exit_.code == 0
        level = logging.INFO if drained or self._stopping else logging.WARNING
        words = "drained and left" if drained else exit_
        log.log(level, "%s %s after %.1f s", worker, words, uptime)
        if self._stopping:
            return
        roll = self._roll
        place = self._places[worker.slot]
        if worker is roll.predecessor:
            roll.predecessor = roll.place = None
        elif worker is roll.successor:
            self._abandon_roll(place)
            if place.worker is None:
                self._refill(place, exit_)
        elif worker is place.worker:
            place.worker = None
            if roll.place is not place and not place.out:
                self._refill(place, exit_)

    def _refill(self, place: _Place, exit_: Exit) -> None:
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
        roll = self._roll
        place = self._places[worker.slot]
        if self._stopping or worker is not place.worker or worker.phase is not Phase.READY:
            return
        if roll.place is place or place.number in roll.queue:
            return
        log.info("%s %s and is replaced", worker, why)
        roll.queue.append(place.number)

    def _advance_roll(self) -> None:
        roll = self._roll
        while roll.place is None and roll.queue:
            place = self._places[roll.queue.popleft()]
            if place.worker is None:
                if roll.spec is None:
                    continue
                # It waits for its restart, which this is.
                place.restart_at = None
            roll.place = place
            roll.on_trial = roll.spec
            roll.successor = self._spawn(place, roll.spec or self._spec)
            if roll.successor is None:
                self._abandon_roll(place)
                if place.worker is None:
                    self._refill(place, Exit(1, ready=False))
                return
        if roll.place is None and roll.spec is not None:
            log.info("all workers run with the new configuration")
            roll.spec = None

    def _abandon_roll(self, place: _Place) -> None:
        left = len(self._roll.queue) + 1
        log.error(
            "the replacement of worker %d did not start; %s",
            place.number,
            f"{left} workers go on as they are" if left > 1 else "it goes on as it is",
        )
        self._roll = _Roll()
