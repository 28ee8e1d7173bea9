"""How long the relay's own steps take::

    python -m tests.bench.lifecycle

* start: from `relay-supervisor` to its ready line, 4 workers
* join: from connect to the first frame, a key frame that is already in the ring
* kill: from SIGKILL of a viewer's worker to its next frame, reconnecting at once
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager

import psutil

from tests.bench.contestants import PEERS, Server, contestant, handshake, running
from tests.bench.load import Load, feed

__all__ = ["main"]

_WORKERS = 4
_LOAD = Load(viewers=1, size=16384)


def _relay() -> AbstractContextManager[Server]:
    return running(contestant(PEERS / "relay_uring.py"), _WORKERS)


def _frame(port: int) -> socket.socket:
    """A viewer that has got the beginning of its first frame."""
    sock = handshake(port, "/view/s0")
    seen = b""
    # Frames of this stream are 16 KiB; the hello before them is a few hundred bytes.
    while len(seen) < 4096:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError("the worker hung up")
        seen += piece
    return sock


def _start() -> float:
    before = time.perf_counter()
    with _relay():
        return (time.perf_counter() - before) * 1000


def _join(server: Server) -> float:
    before = time.perf_counter()
    sock = _frame(server.ports[0])
    elapsed = (time.perf_counter() - before) * 1000
    sock.close()
    return elapsed


def _kill(server: Server) -> float:
    """Milliseconds of picture lost by a viewer whose worker is killed."""
    sock = _frame(server.ports[0])
    victim = _worker_of(sock)
    before = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    while True:
        try:
            if not sock.recv(1 << 20):
                break
        except ConnectionError:
            break
    sock.close()
    _frame(server.ports[0]).close()
    elapsed = (time.perf_counter() - before) * 1000
    while _ready(server) < _WORKERS:
        time.sleep(0.05)
    return elapsed


def _ready(server: Server) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports[0]}/api/workers") as answer:
        workers = json.load(answer)["workers"]
    return sum(worker["state"] == "ready" for worker in workers)


def _worker_of(sock: socket.socket) -> int:
    """Process at the other end of a loopback connection."""
    mine, theirs = sock.getsockname()[1], sock.getpeername()[1]
    for found in psutil.net_connections("tcp4"):
        ports = [address.port for address in (found.laddr, found.raddr) if address]
        if ports == [theirs, mine] and found.pid:
            return found.pid
    raise LookupError("no process has the other end")


def _show(name: str, unit: str, values: list[float]) -> None:
    print(
        f"{name:10} median {statistics.median(values):8.1f} {unit}"
        f"   worst {max(values):8.1f} {unit}   of {len(values)}",
        flush=True,
    )


def _repeat(times: int, measure: Callable[[], float]) -> list[float]:
    return [measure() for _ in range(times)]


def main() -> None:
    """Measure all and print."""
    _show("start", "ms", _repeat(5, _start))
    with _relay() as server, feed(server, _LOAD):
        _show("join", "ms", _repeat(50, lambda: _join(server)))
        _show("kill", "ms", _repeat(20, lambda: _kill(server)))


if __name__ == "__main__":
    main()
