"""Replacing workers one by one: whose turn it is, who is on its way in and who on its way out.

A place (`Place`) is empty, or filled by the worker that serves there. A replacement::

    queue ──► successor STARTING ──ready──► takes the place ──► predecessor DRAINING ──► next
                     │
                     └─ dies: the rest of the queue is given up, the place keeps its worker

so that at no moment more than one worker is on its way out. New settings are on trial until
the first worker that was started with them is ready; until then restarts use the old ones.

Processes are started by the fleet (`relay.fleet`), which also tells who is ready and who died.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.restart_policy import Exit, RestartPolicy
from relay.worker_process import Phase, WorkerProcess, WorkerSpec

__all__ = ["Place", "Roll"]

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Place:
    """A place for one worker.

    Attributes:
        number: of the place; its workers' slot.
        policy: decides about restarts.
        worker: who fills it; None: it is empty.
        restart_at: monotonic seconds at which it is filled again; None: nobody waits for that.
        generation: how many workers were started here.
        restarts: how many of them because another had died.
        recycle_after: monotonic seconds before which nobody is replaced for its memory.
        out: whether an operator took its worker out.
    """

    number: int
    policy: RestartPolicy
    worker: WorkerProcess | None = None
    restart_at: float | None = None
    generation: int = 0
    restarts: int = 0
    recycle_after: float = 0.0
    out: bool = False

    @property
    def serves(self) -> bool:
        """Whether a worker is ready here."""
        return self.worker is not None and self.worker.phase is Phase.READY


class Roll:
    """The replacements that are wanted, and the one that is under way.

    Attributes:
        spec: what workers are started with; it has proved to start, or is the first.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        start: Callable[[Place, WorkerSpec], WorkerProcess | None],
        refill: Callable[[Place, Exit], None],
    ) -> None:
        """Nothing is to be replaced yet.

        Args:
            spec: settings for workers.
            start: starts a worker for a place; None when the system has no process to give.
            refill: takes care of a place that a failed replacement leaves empty.
        """
        self.spec = spec
        self._start = start
        self._refill = refill
        self._queue: deque[Place] = deque()
        self._place: Place | None = None
        self._successor: WorkerProcess | None = None
        self._predecessor: WorkerProcess | None = None
        # What the queue is replaced with; None: the same settings again.
        self._wanted: WorkerSpec | None = None
        # What the successor was started with, until it has proved to start.
        self._on_trial: WorkerSpec | None = None

    @property
    def under_way(self) -> bool:
        """Whether anybody is being replaced, or will be."""
        return bool(self._queue) or self._place is not None

    def at(self, place: Place) -> bool:
        """Whether this place has its turn now."""
        return self._place is place

    # What is wanted.

    def replace_all(self, places: Sequence[Place], spec: WorkerSpec) -> None:
        """Replace everybody, by workers with other settings; what has its turn is finished."""
        self._wanted = spec
        self._queue = deque(places)

    def replace(self, place: Place) -> bool:
        """Replace a worker by one of the same settings; False: it is going to be, anyway."""
        if self.at(place) or place in self._queue:
            return False
        self._queue.append(place)
        return True

    def give_up(self) -> None:
        """Replace nobody any more; who is on its way in or out is the fleet's affair."""
        self._queue.clear()
        self._place = self._successor = self._predecessor = None
        self._wanted = self._on_trial = None

    # What happens.

    def advance(self) -> None:
        """Begin with the next one, when nobody has a turn."""
        while self._place is None and self._queue:
            place = self._queue.popleft()
            if place.worker is None:
                if self._wanted is None:
                    continue
                # It waits for its restart, which this is.
                place.restart_at = None
            self._place = place
            self._on_trial = self._wanted
            self._successor = self._start(place, self._wanted or self.spec)
            if self._successor is None:
                self._fail(place, Exit(1, ready=False))
                return
        if self._place is None and self._wanted is not None:
            log.info("all workers run with the new configuration")
            self._wanted = None

    def ready(self, worker: WorkerProcess) -> None:
        """A worker serves: a successor takes its place, and whoever had it drains."""
        place = self._place
        if worker is not self._successor or place is None:
            return
        self._successor = None
        if self._on_trial is not None:
            # Proven to start: from now on every worker is started with these.
            self.spec = self._on_trial
        self._predecessor, place.worker = place.worker, worker
        place.out = False
        if self._predecessor is None:
            self._place = None
        else:
            self._predecessor.drain(self.spec.viewer.drain_timeout)

    def died(self, worker: WorkerProcess, how: Exit) -> bool:
        """A worker is gone; whether it was one that came or went because of a replacement."""
        place = self._place
        if place is None or worker not in (self._predecessor, self._successor):
            return False
        if worker is self._predecessor:
            self._predecessor = self._place = None
        else:
            self._fail(place, how)
        return True

    def _fail(self, place: Place, how: Exit) -> None:
        left = len(self._queue) + 1
        log.error(
            "the replacement of worker %d did not start; %s",
            place.number,
            f"{left} workers go on as they are" if left > 1 else "it goes on as it is",
        )
        self.give_up()
        if place.worker is None:
            self._refill(place, how)
