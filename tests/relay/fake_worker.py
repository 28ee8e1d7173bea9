"""A worker that keeps to the contract with its supervisor and serves nobody.

How it behaves is the name of its engine: ``serve``, ``crash``, ``cannot``, ``silent``,
``stubborn``, ``greedy``. Its lag limit goes into its row, so that a test can tell which
settings it was started with.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from typing import Any, NoReturn

import msgpack

from relay.launch import let_signals_in
from relay.restart_policy import EXIT_CANNOT_START
from relay.worker_process import WorkerSpec
from workers.table import Column, WorkerRow, WorkerState, WorkerTable

__all__ = ["GREED", "fake_worker"]

GREED = 256 * 1024 * 1024
_BEAT = 0.05


def fake_worker(
    spec: WorkerSpec, slot: int, row: int, listener: socket.socket, control: Any
) -> NoReturn:
    """Target for `relay.worker_process.WorkerProcess`."""
    let_signals_in(control)
    if spec.engine == "crash":
        sys.exit(7)
    if spec.engine == "cannot":
        sys.exit(EXIT_CANNOT_START)
    table = WorkerTable.attach(spec.instance)
    own = table.row(row)
    hoard = b"x" * GREED if spec.engine == "greedy" else b""
    own[Column.FRAMES_SENT] = int(spec.viewer.max_lag * 1000)
    if spec.engine != "silent":
        own[Column.HEARTBEAT_NS] = time.monotonic_ns()
        own[Column.STATE] = WorkerState.READY
        control.send_bytes(msgpack.packb({"type": "ready"}))
    orphan = _serve(control, own, stubborn=spec.engine == "stubborn")
    if orphan:
        table.unlink()
    table.close()
    sys.exit(0 if len(hoard) in (0, GREED) else 1)


def _serve(control: Any, own: WorkerRow, *, stubborn: bool) -> bool:
    """Beat until told to drain; whether the supervisor is gone."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            own[Column.HEARTBEAT_NS] = time.monotonic_ns()
            if not control.poll(_BEAT):
                continue
            message = msgpack.unpackb(control.recv_bytes())
            if message["type"] == "drain" and not stubborn:
                own[Column.STATE] = WorkerState.DRAINING
                return False
    return True
