"""What a cluster costs: ``python -m tests.bench.cluster [--seconds S]``.

Two relays and a NATS server on this machine; some streams are published at the first, and as
many viewers watch each at either. In one run: how old frames are when they arrive here and
there, and the processor time that both bridges take for a frame.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from relay.cluster.counters import Counter
from tests.cluster.conftest import Cluster
from tests.cluster.nats_server import NatsServer
from tests.cluster.watching import watching
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until, wait_until

__all__ = ["main"]

STREAMS = 4
VIEWERS = 10
FPS = 30
SIZE = 16_000


def _ages(viewers: Sequence[Viewer]) -> str:
    ages = [age * 1000 for viewer in viewers for _, age in viewer.checker.ages]
    cuts = statistics.quantiles(ages, n=100)
    return f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms of {len(ages)} frames"


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _measure(cluster: Cluster, seconds: float) -> None:
    a, b = cluster.node("a"), cluster.node("b")
    names = [f"cam{number}" for number in range(STREAMS)]
    for name in names:
        cluster.publish(a, name, fps=FPS, size=SIZE, key_every=2 * FPS)
        b.wait_sees(name, "a")
    bridges = [psutil.Process(node.bridge().pid) for node in (a, b)]

    async def watch() -> None:
        here = [Viewer(a.address, name) for name in names for _ in range(VIEWERS)]
        there = [Viewer(b.address, name) for name in names for _ in range(VIEWERS)]
        async with watching(*here, *there):
            await until(lambda: all(each.checker.frames > FPS for each in there), "frames")
            for viewer in (*here, *there):
                viewer.checker.ages.clear()
            before = [_cpu(each) for each in bridges]
            frames = b.number(Counter.FRAMES_RECEIVED)
            await asyncio.sleep(seconds)
            used = [_cpu(each) - old for each, old in zip(bridges, before, strict=True)]
            frames = b.number(Counter.FRAMES_RECEIVED) - frames
            print(f"{STREAMS} streams of {FPS}/s, {SIZE} bytes, {VIEWERS} viewers each on a and b")
            print(f"on the publishers' host: {_ages(here)}")
            print(f"through NATS:            {_ages(there)}")
            for name, each in zip(("sending", "receiving"), used, strict=True):
                print(f"bridge, {name}: {each / frames * 1e6:.0f} µs of processor time a frame")
        lost = sum(each.checker.lost for each in (*here, *there))
        print(f"lost: {lost} frames; corrupt: {b.number(Counter.CORRUPT)}")

    run(watch())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=15.0)
    seconds = parser.parse_args(argv).seconds
    with tempfile.TemporaryDirectory() as directory:
        nats = NatsServer(Path(directory) / "nats.log")
        nats.start()
        cluster = Cluster(f"bench-{secrets.token_hex(4)}", Path(directory), nats)
        try:
            wait_until(lambda: "Server is ready" in nats.log(), "NATS")
            _measure(cluster, seconds)
        finally:
            cluster.clean_up()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
