"""Who is measured: every file in ``peers/`` is a program that serves frames to viewers.

What runs a peer follows from its file's suffix. It is called in two ways:

``PROGRAM --about``
    prints one JSON object and ends: ``name`` and ``version`` for people; ``workers``,
    ``"copies"`` when this module starts one program for each worker (default) or ``"own"``
    when the program starts them itself; ``feed``, ``"ws"`` when it is published to over
    WebSocket (default) or ``"shm"`` through the relay's bus; ``group``, ``"peer"`` (default),
    ``"floor"`` or ``"relay"``; ``ready``, true when it prints a line once all its workers serve.
    A peer that cannot run here ends with a reason on standard error instead.
``PROGRAM PORT WORKERS``
    serves on that port of 127.0.0.1 until it is terminated. What is published as
    ``/publish/NAME`` goes to every viewer of ``/view/NAME``, one message for each.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.bench.compiling import MissingError, compiled

__all__ = [
    "KEY",
    "PEERS",
    "Contestant",
    "Server",
    "all_peers",
    "contestant",
    "handshake",
    "running",
]

PEERS: Final = Path(__file__).parent / "peers"
RUNTIMES: Final = {".c": None, ".cjs": "node", ".py": sys.executable, ".ts": "bun"}
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 10.0
KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
"""Sec-WebSocket-Key of all connections: the example of RFC 6455 section 1.3."""
_REQUEST: Final = (
    "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(frozen=True)
class Contestant:
    """A peer that can run here; the fields are those of ``--about``.

    Attributes:
        key: its file's name without the suffix.
        command: how it is called.
    """

    key: str
    command: tuple[str, ...]
    name: str
    version: str
    workers: str = "copies"
    feed: str = "ws"
    group: str = "peer"
    ready: bool = False


@dataclass(frozen=True)
class Server:
    """A running contestant.

    Attributes:
        contestant: which.
        ports: where its viewers go, evenly.
        roots: processes that were started; what they started counts, too.
    """

    contestant: Contestant
    ports: tuple[int, ...]
    roots: tuple[int, ...]

    def processes(self) -> list[psutil.Process]:
        """All its processes."""
        roots = [psutil.Process(pid) for pid in self.roots]
        return roots + [child for root in roots for child in root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far (/proc/<pid>/stat)."""
        times = [process.cpu_times() for process in self.processes()]
        return sum(each.user + each.system for each in times)

    def memory(self) -> int:
        """Bytes that would be free if it ended (unique set size)."""
        return sum(int(process.memory_full_info().uss) for process in self.processes())


def all_peers() -> list[Path]:
    """Files of all peers."""
    return sorted(p for p in PEERS.iterdir() if p.suffix in RUNTIMES and p.stem != "__init__")


def contestant(path: Path) -> Contestant:
    """What a peer says of itself.

    Raises:
        MissingError: it cannot run here; the text says why.
    """
    runtime = RUNTIMES[path.suffix]
    if path.suffix == ".c":
        command = [str(compiled(path))]
    elif path.suffix == ".py":
        command = [sys.executable, "-m", f"tests.bench.peers.{path.stem}"]
    else:
        command = [str(runtime), str(path)]
    try:
        said = subprocess.run([*command, "--about"], capture_output=True, text=True)
    except FileNotFoundError:
        raise MissingError(f"{runtime} is not installed") from None
    if said.returncode:
        lines = [line.strip() for line in said.stderr.splitlines() if line.strip()]
        # The last line of Python's trace and the one of JavaScript's that names the error.
        named = [line for line in lines if "Error:" in line] or lines[-1:] or ["it ends at once"]
        raise MissingError(named[0])
    return Contestant(path.stem, tuple(command), **json.loads(said.stdout))


@contextmanager
def running(who: Contestant, workers: int) -> Iterator[Server]:
    """A contestant with that many workers, serving.

    Raises:
        MissingError: it does not start.
    """
    own = who.workers == "own"
    ports = _free_ports(1 if own else workers)
    with ExitStack() as stack:
        # What it writes goes with it.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        started = [
            stack.enter_context(_started([*who.command, str(port), str(workers)], folder))
            for port in ports
        ]
        if who.ready:
            assert started[0].stdout is not None
            started[0].stdout.readline()
        for port, process in zip(ports, started, strict=True):
            _await(who, port, process)
        yield Server(who, ports, tuple(process.pid for process in started))


@contextmanager
def _started(command: list[str], folder: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": folder},
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _free_ports(count: int) -> tuple[int, ...]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


def _await(who: Contestant, port: int, process: subprocess.Popen[bytes]) -> None:
    """Ask until it answers: the only sign that every server gives."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            handshake(port, "/view/s0").close()
            return
        except OSError as exc:
            if process.poll() is not None:
                raise MissingError(f"{who.name} ended as soon as it was started") from None
            if time.monotonic() > deadline:
                raise MissingError(f"{who.name} does not serve: {exc}") from None
            time.sleep(0.05)


def handshake(port: int, path: str) -> socket.socket:
    """A socket on which the WebSocket handshake is done.

    Raises:
        OSError: nobody is there, or the server does not upgrade.
    """
    sock = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        sock.sendall((_REQUEST % path).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            # Byte by byte, so that nothing of the first message is lost.
            piece = sock.recv(1)
            if not piece:
                raise ConnectionError(f"{path}: the server hung up during the handshake")
            head += piece
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise ConnectionError(f"{path}: {head.splitlines()[0].decode()}")
    except BaseException:
        sock.close()
        raise
    return sock
