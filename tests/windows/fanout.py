"""CPU per delivered frame: the Proactor loop under Wine beside the loops of this system::

    python -m tests.windows.fanout --viewers 100 --size 16384 --fps 30

One worker each, its publisher in shared memory on its own side, viewers here that discard in
the kernel. Under Wine every operation on a socket also passes through Wine's server, whose
CPU is shown by itself; Windows has no such process.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.e2e import wire
from tests.e2e.conftest import publishing
from tests.e2e.relay_process import RelayProcess
from tests.windows.build import build
from tests.windows.conftest import publisher_there
from tests.windows.pythons import WindowsPython, wine_python
from tests.windows.windows_relay import WindowsRelay
from tests.windows.witness import witness
from workers.table import Column

__all__ = ["main"]

STREAM: Final = "bench"
SETTLING: Final = 2.0
"""Seconds; a load settles in time, not on a condition."""


@dataclass(frozen=True)
class Load:
    """How much.

    Attributes:
        viewers: their number.
        size: bytes of a frame.
        fps: frames in a second.
        seconds: of measurement.
    """

    viewers: int
    size: int
    fps: float
    seconds: float


Usage = dict[str, float]
"""CPU seconds by the kind of process."""
Contestant = Callable[[Load], contextlib.AbstractContextManager[tuple[int, Callable[[], Usage]]]]


@contextlib.contextmanager
def under_wine(load: Load) -> Iterator[tuple[int, Callable[[], Usage]]]:
    """A relay under Wine: its port, and what tells its CPU."""
    instance = f"bench-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder, wine_python(build()) as interpreter:
        windows = WindowsPython(interpreter, Path(folder))
        with (
            witness(windows) as seeing,
            publishing(instance, run_module=publisher_there(windows)) as publish,
        ):
            relay = WindowsRelay(windows, seeing, instance, workers=1)
            relay.wait_ready()
            publish("shm", STREAM, size=load.size, fps=load.fps, key_every=round(load.fps))
            yield (
                relay.port,
                lambda: {
                    "worker": sum(relay.cpu_seconds().values()),
                    "wineserver": relay.server_cpu_seconds(),
                },
            )
            relay.clean_up()


@contextlib.contextmanager
def here(load: Load, *, uvloop: bool) -> Iterator[tuple[int, Callable[[], Usage]]]:
    """A relay on this system, with uvloop or with asyncio's own loop."""
    instance = f"bench-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder:
        if not uvloop:
            Path(folder, "uvloop.py").write_text("raise ImportError('not for this measurement')\n")
        environment = {} if uvloop else {"PYTHONPATH": folder}
        log = Path(folder, "log")
        options = ("--engine", "asyncio")
        relay = RelayProcess(instance, log, *options, workers=1, env=environment)
        relay.wait_ready()

        def usage() -> Usage:
            times = psutil.Process(relay.rows()[0][Column.PID]).cpu_times()
            return {"worker": times.user + times.system}

        with publishing(instance) as publish:
            publish("shm", STREAM, size=load.size, fps=load.fps, key_every=round(load.fps))
            yield relay.port, usage
        relay.clean_up()


CONTESTANTS: Final[dict[str, Contestant]] = {
    "Proactor, Wine": under_wine,
    "selector, Linux": lambda load: here(load, uvloop=False),
    "uvloop, Linux": lambda load: here(load, uvloop=True),
}


def measure(contestant: Contestant, load: Load) -> Usage:
    """Microseconds of CPU per delivered frame, by the kind of process."""
    with contestant(load) as (port, usage), contextlib.ExitStack() as stack:
        viewers = selectors.DefaultSelector()
        for _ in range(load.viewers):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            sock.sendall(wire.request(f"/view/{STREAM}", "127.0.0.1"))
            sock.setblocking(False)
            viewers.register(sock, selectors.EVENT_READ)
        _receive(viewers, SETTLING)
        before = usage()
        received = _receive(viewers, load.seconds)
        after = usage()
    frames = received / load.size
    print(f"  {frames / load.seconds / load.viewers:.1f} frames/s for each viewer", flush=True)
    return {kind: (after[kind] - before[kind]) / frames * 1e6 for kind in after}


def _receive(viewers: selectors.BaseSelector, seconds: float) -> int:
    """Bytes that came in so many seconds."""
    total, waste = 0, bytearray(1 << 20)
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for key, _ in viewers.select(left):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            with contextlib.suppress(BlockingIOError):
                total += sock.recv_into(waste, len(waste), socket.MSG_TRUNC)
    return total


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--size", type=int, default=16384, help="bytes of a frame")
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    load = Load(wanted.viewers, wanted.size, wanted.fps, wanted.seconds)
    found: dict[tuple[str, str], list[float]] = {}
    for number in range(wanted.rounds):
        for name, contestant in CONTESTANTS.items():
            print(f"round {number + 1}  {name}")
            for kind, cost in measure(contestant, load).items():
                found.setdefault((name, kind), []).append(cost)
    for (name, kind), costs in found.items():
        print(f"median {name:16} {kind:12} {statistics.median(costs):7.2f} us of CPU per frame")


if __name__ == "__main__":
    main()
