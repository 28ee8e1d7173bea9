"""A guest that tells of relays in its own session of Windows, and kills there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Any

from bus.errors import BusError
from bus.names import instance_prefix, stream_of
from bus.segment import list_objects
from workers.table import WorkerTable

__all__ = ["watch"]


def watch() -> None:
    """Answer each line of input, a JSON list of what, instance and more, by a line of JSON."""
    for line in sys.stdin:
        what, instance, *arguments = json.loads(line)
        print(json.dumps(_answer(instance, what, arguments)), flush=True)


def _answer(instance: str, what: str, arguments: list[Any]) -> Any:
    if what == "objects":
        names = list_objects(instance_prefix(instance))
        return [name for name in names if stream_of(instance, name) is None]
    if what == "kill":
        with contextlib.suppress(OSError):
            # TerminateProcess, whatever the signal.
            os.kill(arguments[0], signal.SIGTERM)
        return None
    try:
        # Never kept: this guest must not be what a dead relay's memory lives by.
        table = WorkerTable.attach(instance)
    except BusError:
        return None
    with contextlib.closing(table):
        if what == "supervisor":
            return table.supervisor_pid
        return [[row.values, row.state, row.heartbeat_age] for row in table.rows()]
