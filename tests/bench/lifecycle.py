"""How long the relay's own steps take, and what a viewer costs when nothing happens::

    python -m tests.bench.lifecycle

* start: from `relay-supervisor` to its ready line, 4 workers
* join: from connect to the first frame, a key frame that is already in the ring
* kill: from SIGKILL of a viewer's worker to its next frame, reconnecting at once
* handshake: connect, upgrade, hello, close, in a row from one client
* memory: growth of a worker for each idle viewer
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

import psutil

from tests.bench.clients import handshake
from tests.bench.servers import Server, relay

__all__ = ["main"]

_WORKERS = 4
_IDLE_VIEWERS = 1000
_HANDSHAKES = 1000


def _frame(port: int) -> socket.socket:
    """A viewer that has got the beginning of its first frame."""
    sock = handshake(port, "/view/bench")
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
    with relay(_WORKERS, 16384, 30):
        return (time.perf_counter() - before) * 1000


def _join(server: Server) -> float:
    before = time.perf_counter()
    sock = _frame(server.port)
    elapsed = (time.perf_counter() - before) * 1000
    sock.close()
    return elapsed


def _kill(server: Server) -> float:
    """Milliseconds of picture lost by a viewer whose worker is killed."""
    sock = _frame(server.port)
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
    _frame(server.port).close()
    elapsed = (time.perf_counter() - before) * 1000
    while _ready(server) < _WORKERS:
        time.sleep(0.05)
    return elapsed


def _ready(server: Server) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/workers") as answer:
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


def _handshakes(server: Server) -> float:
    """Microseconds of the workers' CPU for each connection."""
    cpu = server.cpu_seconds()
    for _ in range(_HANDSHAKES):
        handshake(server.port, "/view/nothing").close()
    return (server.cpu_seconds() - cpu) / _HANDSHAKES * 1e6


def _memory(server: Server) -> float:
    """KiB of the worker's own memory for each idle viewer."""
    worker = psutil.Process(server.pids[0])
    warm = [handshake(server.port, "/view/nothing") for _ in range(100)]
    before = worker.memory_full_info().uss
    idle = [handshake(server.port, "/view/nothing") for _ in range(_IDLE_VIEWERS)]
    grown = worker.memory_full_info().uss - before
    for sock in warm + idle:
        sock.close()
    return grown / _IDLE_VIEWERS / 1024


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
    with relay(_WORKERS, 16384, 30) as server:
        _frame(server.port).close()
        _show("join", "ms", _repeat(50, lambda: _join(server)))
        _show("kill", "ms", _repeat(20, lambda: _kill(server)))
    with relay(1, 16384, 30) as server:
        _show("handshake", "us", _repeat(3, lambda: _handshakes(server)))
        _show("memory", "KiB", _repeat(1, lambda: _memory(server)))


if __name__ == "__main__":
    main()
