"""What one processor of the load generator can take: frames a second of 16 KiB::

    python -m tests.bench.generator --viewers 1200 --fps 150

At so many frames a second the sender never catches up, and what arrives is all that the
generator can take. Each of them has a processor to itself; the sender has to be the faster one.

A bare sender, in a process of its own, plays the relay: one ``send`` for each viewer and frame.
Payloads carry checksums, which are verified.
`relay-load` runs as a user runs it, with one process. Steady seconds count: frames received,
and how much processor time each took.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import msgpack

from bus.frame import encode
from relay.load.seal import SEAL_BYTES, seal
from workers.messages import header

__all__ = ["main"]

_RAMP = 4
_ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def _send(viewers: int, size: int, fps: float, pipe: Connection) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    _pin(1)
    pipe.send(listener.getsockname()[1])
    hello = msgpack.packb({"type": "hello", "server_us": time.time_ns() // 1000, "offset_us": 0})
    opening = header(len(hello)) + hello
    sockets: list[socket.socket] = []
    while len(sockets) < viewers:
        sock = listener.accept()[0]
        if sock.recv(65536).startswith(b"GET /view/"):
            sock.sendall(_ANSWER + opening)
            sockets.append(sock)
    noise = bytes(size - SEAL_BYTES)
    due, seq = time.monotonic(), 0
    while True:
        now = time.time_ns() // 1000
        envelope = encode(seq, now, now, int(seq % 30 == 0), seal(noise, now))
        frame = header(len(envelope)) + envelope
        try:
            for sock in sockets:
                sock.sendall(frame)
        except ConnectionError:
            return
        seq += 1
        due = max(due + 1 / fps, time.monotonic() - 0.5)
        time.sleep(max(0.0, due - time.monotonic()))


def _pin(processor: int) -> None:
    """Keep this process, and what it starts from now on, on one processor."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {processor % (os.cpu_count() or 1)})


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--viewers", type=int, default=1500)
    parser.add_argument("--size", type=int, default=16384, help="bytes of a frame")
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=16)
    wanted = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    _pin(0)
    sender = context.Process(
        target=_send, args=(wanted.viewers, wanted.size, wanted.fps, theirs), daemon=True
    )
    sender.start()
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "report.json")
        url = f"ws://127.0.0.1:{ours.recv()}/view/bench"
        command = [sys.executable, "-m", "relay.cli.load", url, "--processes", "1"]
        command += ["--viewers", str(wanted.viewers), "--duration", str(wanted.seconds)]
        command += ["--ramp", str(_RAMP)]
        subprocess.run([*command, "--json", str(found)], check=False, stdout=subprocess.DEVNULL)
        samples = json.loads(found.read_text())["samples"]
    sender.kill()
    # The first seconds are those of arrival.
    steady = [each for each in samples[_RAMP + 2 :] if each["fps"]]
    rate = statistics.median(each["fps"] for each in steady)
    cost = statistics.median(each["generator"]["cpu"] / each["fps"] for each in steady)
    print(
        f"{rate:,.0f} frames/s in {rate * cost:.2f} processors: "
        f"{cost * 1e6:.1f} us each, {1 / cost:,.0f} frames/s for each processor"
    )


if __name__ == "__main__":
    main()
