"""CPU per delivered frame, the relay beside a bare `websockets` broadcast server::

    python -m tests.bench.fanout --viewers 300 --size 16384 --fps 30

One publisher, viewers on loopback that discard in the kernel, CPU of all the server's
processes (workers; user and system). Rounds are interleaved; the last line is the ratio of
the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.bench.clients import viewers
from tests.bench.servers import Server, relay, websockets_broadcast

__all__ = ["main"]


def measure(server: Server, count: int, size: int, seconds: float) -> float:
    """Microseconds of CPU per delivered frame of ``size`` bytes."""
    with viewers(server.port, server.path, count) as crowd:
        crowd.bytes_received()
        time.sleep(1)  # A load settles in time, not on a condition.
        cpu, got = server.cpu_seconds(), crowd.bytes_received()
        time.sleep(seconds)
        cpu, got = server.cpu_seconds() - cpu, crowd.bytes_received() - got
    return cpu / (got / size) * 1e6


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--viewers", type=int, default=300)
    parser.add_argument("--size", type=int, default=16384, help="bytes of a frame")
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    wanted = parser.parse_args()
    contestants: list[Callable[[], AbstractContextManager[Server]]] = [
        lambda: relay(wanted.workers, wanted.size, wanted.fps),
        lambda: websockets_broadcast(wanted.size, wanted.fps),
    ]
    found: dict[str, list[float]] = {}
    for number in range(wanted.rounds):
        for contestant in contestants:
            with contestant() as server:
                cost = measure(server, wanted.viewers, wanted.size, wanted.seconds)
                found.setdefault(server.name, []).append(cost)
                print(f"round {number + 1}  {server.name:22} {cost:6.2f} us/frame", flush=True)
    medians = {name: statistics.median(costs) for name, costs in found.items()}
    for name, median in medians.items():
        print(f"median   {name:22} {median:6.2f} us/frame")
    ours, peer = medians.values()
    print(f"ratio    {ours / peer:.2f}")


if __name__ == "__main__":
    main()
