"""All viewers of a relay, from the shared memory of its workers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from bus.errors import BusError
from workers.table import Column, WorkerTable
from workers.viewer_id import ViewerId
from workers.viewer_table import ViewerRow, read_viewers

__all__ = ["Viewer", "all_viewers"]


@dataclass(frozen=True, slots=True)
class Viewer:
    """One viewer, and what it is called."""

    id: ViewerId
    row: ViewerRow


def all_viewers(instance: str, table: WorkerTable) -> list[Viewer]:
    """Everybody who watches now, by worker."""
    found: list[Viewer] = []
    for worker in table.rows():
        slot, generation = worker[Column.SLOT], worker[Column.GENERATION]
        # A worker that starts or ends at this moment has nobody to show.
        with contextlib.suppress(BusError, OSError):
            for row in read_viewers(instance, worker[Column.PID]):
                found.append(Viewer(ViewerId(slot, generation, row.number), row))
    return found
