"""Servers to measure: the relay, and peers that any user can install."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil
from websockets.asyncio.server import ServerConnection, broadcast, serve

from bus import Publisher

__all__ = ["Server", "relay", "websockets_broadcast"]


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        name: for the table.
        port: where it listens.
        path: what a viewer asks for.
        pids: all processes whose work counts.
    """

    name: str
    port: int
    path: str
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        times = [psutil.Process(pid).cpu_times() for pid in self.pids]
        return sum(each.user + each.system for each in times)


@contextmanager
def relay(workers: int, size: int, fps: float, *options: str) -> Iterator[Server]:
    """The relay with one stream that a separate process publishes into shared memory."""
    instance = f"bench-{os.getpid()}-{secrets.token_hex(3)}"
    command = [sys.executable, "-m", "relay.cli.supervisor", "--port", "0"]
    command += ["--workers", str(workers), "--instance", instance, *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    publisher = multiprocessing.get_context("spawn").Process(
        target=_publish, args=(instance, size, fps), daemon=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.rsplit(":", 1)[1].strip().strip("/"))
        publisher.start()
        children = [child.pid for child in psutil.Process(process.pid).children()]
        workers_only = tuple(pid for pid in children if _is_worker(pid))
        yield Server(f"relay *{workers}", port, "/view/bench", workers_only)
    finally:
        if publisher.pid is not None:
            publisher.terminate()
            publisher.join()
        process.terminate()
        process.wait()


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return any("spawn_main" in word for word in psutil.Process(pid).cmdline())
    return False


def _publish(instance: str, size: int, fps: float) -> None:
    payload = os.urandom(size)
    with Publisher("bench", codec="vp8", instance=instance) as publisher:
        due, number = time.monotonic(), 0
        while True:
            publisher.write(payload, key=number % round(fps) == 0)
            number += 1
            due += 1 / fps
            time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def websockets_broadcast(size: int, fps: float) -> Iterator[Server]:
    """What one writes on an afternoon: `websockets` and its `broadcast`, on uvloop."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_broadcast_server, args=(theirs, size, fps), daemon=True)
    process.start()
    try:
        port = ours.recv()
        assert process.pid is not None
        yield Server("websockets broadcast", port, "/", (process.pid,))
    finally:
        process.terminate()
        process.join()


def _broadcast_server(pipe: Connection, size: int, fps: float) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_broadcast(pipe, size, fps))


async def _broadcast(pipe: Connection, size: int, fps: float) -> None:
    peers: set[ServerConnection] = set()

    async def serve_one(peer: ServerConnection) -> None:
        peers.add(peer)
        try:
            await peer.wait_closed()
        finally:
            peers.discard(peer)

    payload = os.urandom(size)
    async with serve(serve_one, "127.0.0.1", 0, compression=None) as server:
        pipe.send(next(iter(server.sockets)).getsockname()[1])
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            broadcast(peers, payload)
            due += 1 / fps
            await asyncio.sleep(max(0.0, due - loop.time()))
