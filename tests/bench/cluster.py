"""What a cluster costs: ``python -m tests.bench.cluster [--seconds S] [--nodes N] …``.

Some relays and a NATS server on this machine; the streams are published at the first, and as
many viewers watch each at every one. In one run: how old frames are when they arrive here and
there, and the processor time that bridges take for a frame.
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
from tests.cluster.conftest import Cluster, Node
from tests.cluster.nats_server import NatsServer
from tests.cluster.watching import watching
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import run, until, wait_until

__all__ = ["main"]

STREAMS = 4


def _ages(viewers: Sequence[Viewer]) -> str:
    ages = [age * 1000 for viewer in viewers for _, age in viewer.checker.ages]
    cuts = statistics.quantiles(ages, n=100)
    return f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms of {len(ages)} frames"


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _measure(cluster: Cluster, options: argparse.Namespace) -> None:
    nodes = [cluster.node(f"n{number}") for number in range(options.nodes)]
    first, *others = nodes
    names = [f"cam{number}" for number in range(STREAMS)]
    for name in names:
        cluster.publish(first, name, fps=options.fps, size=options.size, key_every=2 * options.fps)
        for node in others:
            node.wait_sees(name, first.name)
    bridges = [psutil.Process(node.bridge().pid) for node in nodes]

    def audience(node: Node) -> list[Viewer]:
        return [Viewer(node.address, name) for name in names for _ in range(options.viewers)]

    async def watch() -> None:
        here = audience(first)
        there = [viewer for node in others for viewer in audience(node)]
        async with watching(*here, *there):
            await until(lambda: all(each.checker.frames > options.fps for each in there), "frames")
            for viewer in (*here, *there):
                viewer.checker.ages.clear()
            before = [_cpu(each) for each in bridges]
            memory = [each.memory_info() for each in bridges]
            received = [node.number(Counter.FRAMES_RECEIVED) for node in others]
            sent = first.number(Counter.FRAMES_SENT)
            await asyncio.sleep(options.seconds)
            used = [_cpu(each) - old for each, old in zip(bridges, before, strict=True)]
            sent = first.number(Counter.FRAMES_SENT) - sent
            print(f"on the publishers' host: {_ages(here)}")
            print(f"through NATS:            {_ages(there)}")
            print(f"bridge, sending:   {used[0] / sent * 1e6:.0f} µs of processor time a frame")
            for node, seconds, old in zip(others, used[1:], received, strict=True):
                frames = node.number(Counter.FRAMES_RECEIVED) - old
                print(
                    f"bridge, receiving: {seconds / frames * 1e6:.0f} µs; {frames} of {sent} sent"
                )
            for process, old_memory in zip(bridges, memory, strict=True):
                info = process.memory_info()
                grown = info.rss - info.shared - old_memory.rss + old_memory.shared
                print(f"bridge, memory:    grew by {grown / 1024:.0f} KiB")
        lost = sum(each.checker.lost for each in (*here, *there))
        corrupt = sum(node.number(Counter.CORRUPT) for node in nodes)
        print(f"lost: {lost} frames; corrupt: {corrupt}")

    run(watch())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--viewers", type=int, default=10, help="of each stream on each node")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--size", type=int, default=16_000, help="bytes of a frame")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:
        nats = NatsServer(Path(directory) / "nats.log")
        nats.start()
        cluster = Cluster(f"bench-{secrets.token_hex(4)}", Path(directory), nats)
        try:
            wait_until(lambda: "Server is ready" in nats.log(), "NATS")
            _measure(cluster, options)
        finally:
            cluster.clean_up()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
