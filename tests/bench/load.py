"""What a server is loaded with: a feed that publishes, and viewers that discard."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.compiling import compiled
from tests.bench.contestants import Server

__all__ = ["Crowd", "FailedError", "Load", "Report", "client", "feed", "storm", "viewers"]

_CLIENT: Final = Path(__file__).parent / "client.c"
_CONNECT_SECONDS: Final = 60.0
_END_SECONDS: Final = 10.0


class FailedError(Exception):
    """A measurement came to nothing; the text says why."""


@dataclass(frozen=True)
class Load:
    """How much.

    Attributes:
        viewers: all viewers, over all streams.
        size: bytes of a frame.
        fps: frames a second of each stream.
        streams: number of streams.
    """

    viewers: int
    size: int
    fps: float = 30
    streams: int = 1


@dataclass(frozen=True)
class Report:
    """What viewers saw since the measurement began.

    Attributes:
        open: viewers that are still connected.
        done: connections that were closed.
        frames: frames whose beginning arrived.
        bytes: their sizes, with what envelops the payload.
        lost: frames that were skipped, told by their numbers.
        latency_us: how many frames took how long.
    """

    open: int
    done: int
    frames: int
    bytes: int
    lost: int
    latency_us: Counter[int]

    @classmethod
    def parse(cls, line: str) -> Report:
        """Of what the client prints."""
        said: dict[str, Any] = json.loads(line or '{"error": "the viewers died"}')
        if "error" in said:
            raise FailedError(said["error"])
        latency = Counter({int(us): count for us, count in said.pop("latency_us").items()})
        return cls(latency_us=latency, **said)

    def latency_ms(self, part: float) -> float:
        """The latency that this part (0 to 1) of all frames did not exceed."""
        wanted = part * self.latency_us.total()
        for us in sorted(self.latency_us):
            wanted -= self.latency_us[us]
            if wanted <= 0:
                return us / 1000
        return float("inf")


class Crowd:
    """Viewers that are connected."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self) -> None:
        """Start to count."""
        self._say("reset")

    def report(self) -> Report:
        """What they saw since."""
        self._say("report")
        assert self._process.stdout is not None
        return Report.parse(self._process.stdout.readline())

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            assert self._process.stdout is not None
            Report.parse(self._process.stdout.readline())
            raise


def client() -> Path:
    """The viewers' program.

    Raises:
        MissingError: it cannot be compiled here.
    """
    return compiled(_CLIENT)


def _command(server: Server, *options: object) -> list[str]:
    ports = ",".join(str(port) for port in server.ports)
    return [str(client()), "-p", ports, *(str(option) for option in options)]


@contextmanager
def _piped(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A helper that ends with its standard input."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            # Stuck in a write to a server that does not read.
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def viewers(server: Server, load: Load, *, bytes_per_second: int = 0) -> Iterator[Crowd]:
    """Viewers, connected when this returns.

    Args:
        server: whose.
        load: how many, of how many streams.
        bytes_per_second: how slowly each reads; 0: at once.

    Raises:
        FailedError: they could not all connect.
    """
    options = ["-s", load.streams, "-n", load.viewers, "-r", bytes_per_second]
    with _piped(_command(server, *options)) as process:
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], _CONNECT_SECONDS)[0]:
            raise FailedError(f"not all viewers were connected in {_CONNECT_SECONDS:.0f} s")
        said = json.loads(process.stdout.readline() or '{"error": "the viewers died"}')
        if "error" in said:
            raise FailedError(said["error"])
        yield Crowd(process)


def storm(server: Server, connections: int, in_flight: int) -> Report:
    """Connections that come, get a first frame, and leave; when the last one left.

    Raises:
        FailedError: one of them did not get that far.
    """
    command = _command(server, "-n", in_flight, "-c", connections)
    with _piped(command) as process:
        assert process.stdout is not None
        return Report.parse(process.stdout.readline())


@contextmanager
def feed(server: Server, load: Load) -> Iterator[None]:
    """A publisher of all the load's streams, live when this returns.

    Raises:
        FailedError: it could not publish.
    """
    command = [sys.executable, "-m", "tests.bench.feed", "--streams", str(load.streams)]
    command += ["--size", str(load.size), "--fps", str(load.fps)]
    if server.contestant.feed == "shm":
        command += ["--instance", f"bench-{server.ports[0]}"]
    else:
        command += ["--ports", *(str(port) for port in server.ports)]
    with _piped(command) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise FailedError("nothing could be published")
        yield
