"""What is measured: each scenario starts a server, loads it, and returns figures.

All times are of CPU of all the server's processes, user and system, unless they say latency.
``machine_us_per_frame`` is that of everything else, too, and the only one to compare servers by
that make long system calls: a kernel that does not preempt them (PREEMPT_NONE) charges what is
left of a call, from when somebody else should run, to that one (kernel/sched/core.c,
``rq_clock_skip_update``). io_uring's batches so seem to cost up to a third less than they do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

import psutil

from tests.bench.contestants import Contestant, Server, running
from tests.bench.load import Crowd, FailedError, Load, Report, feed, storm, viewers

__all__ = ["SCENARIOS", "FanOut", "Figures", "Memory", "Saturation", "Scenario", "Slow", "Storm"]

Figures = dict[str, float]

_SETTLE_SECONDS: Final = 1.0
"""Buffers and caches take what they want before anything counts."""
_DIGEST_SECONDS: Final = 5.0
"""What thousands who came at once begin with has been worked off then."""
_LAP_SECONDS: Final = 38.0
"""30 frames of 16 KiB a second have gone around a ring once then. In the first lap each record has
the kernel map pages that were never touched before: with many streams a tenth of the work."""
_LATENCY_LIMIT_MS: Final = 100.0
_MOSTLY: Final = 0.995
"""Part of the expected deliveries that must have come: the window's ends are not sharp."""


class Scenario(Protocol):
    """One kind of measurement."""

    def run(self, who: Contestant, workers: int, seconds: float) -> Figures:
        """Measure.

        Args:
            who: whom.
            workers: worker processes.
            seconds: for how long, where that is a choice.

        Raises:
            FailedError: the server does not stand it.
            MissingError: the server cannot be started.
        """


def _machine_seconds() -> float:
    """CPU of all processes so far, the kernel's threads among them.

    ``/proc/stat`` would not do: it samples with a tick, and a stream has a rhythm of its own.
    """
    total = 0.0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            spent = process.cpu_times()
            total += spent.user + spent.system
    return total


def _watch(server: Server, crowd: Crowd, load: Load, seconds: float) -> tuple[Report, Figures]:
    crowd.begin()
    cpu, machine, began = server.cpu_seconds(), _machine_seconds(), time.monotonic()
    time.sleep(seconds)
    cpu, lasted = server.cpu_seconds() - cpu, time.monotonic() - began
    machine = _machine_seconds() - machine
    report = crowd.report()
    if not report.frames:
        raise FailedError("no frame arrived")
    return report, {
        "us_per_frame": cpu / report.frames * 1e6,
        "machine_us_per_frame": machine / report.frames * 1e6,
        "cpu": cpu / lasted,
        "frames_per_s": report.frames / lasted,
        "expected_per_s": load.viewers * load.fps,
        "lost": report.lost,
        "gone": load.viewers - report.open,
        "p50_ms": report.latency_ms(0.5),
        "p99_ms": report.latency_ms(0.99),
        "p999_ms": report.latency_ms(0.999),
    }


@dataclass(frozen=True)
class FanOut:
    """Frames to viewers who all keep up.

    Attributes:
        load: frames and viewers.
        settle: seconds until it counts.
    """

    load: Load
    settle: float = _SETTLE_SECONDS

    def run(self, who: Contestant, workers: int, seconds: float) -> Figures:
        """See `Scenario`."""
        with (
            running(who, workers) as server,
            feed(server, self.load),
            viewers(server, self.load) as crowd,
        ):
            time.sleep(self.settle)
            return _watch(server, crowd, self.load, seconds)[1]


@dataclass(frozen=True)
class Saturation:
    """The most viewers with p99 latency below 100 ms, nothing lost and nobody gone.

    Attributes:
        load: frames; its viewers are where the search begins.
        precision: ratio of the first number that is too much and the last that is not.
        tries: how often a number must be too much: so close to its limit, a machine that is
            disturbed for a moment does not recover.
    """

    load: Load
    precision: float = 1.04
    tries: int = 2

    def run(self, who: Contestant, workers: int, seconds: float) -> Figures:
        """See `Scenario`."""
        best, good, bad = Figures(frames_per_s=0, viewers=0), 0.0, float("inf")
        count = self.load.viewers
        while good * self.precision < bad:
            tries = (self._try(who, workers, count, seconds) for _ in range(self.tries))
            if (figures := next(filter(None, tries), None)) is not None:
                good = count
                best = {**figures, "viewers": count}
            else:
                bad = count
            count = round(min(1.5 * good, (good + bad) / 2)) if good else count // 2
            if not count:
                break
        return best

    def _try(self, who: Contestant, workers: int, count: int, seconds: float) -> Figures | None:
        try:
            load = replace(self.load, viewers=count)
            figures = FanOut(load, _DIGEST_SECONDS).run(who, workers, seconds)
        except FailedError:
            return None
        stands = (
            figures["p99_ms"] < _LATENCY_LIMIT_MS
            and not figures["lost"]
            and not figures["gone"]
            and figures["frames_per_s"] >= _MOSTLY * figures["expected_per_s"]
        )
        return figures if stands else None


@dataclass(frozen=True)
class Storm:
    """Viewers who come and go: connect, upgrade, first frame, close handshake."""

    connections: int
    in_flight: int

    def run(self, who: Contestant, workers: int, seconds: float) -> Figures:
        """See `Scenario`."""
        load = Load(self.in_flight, size=1024)
        with running(who, workers) as server, feed(server, load):
            # What happens once only is not the storm's.
            storm(server, self.in_flight, self.in_flight)
            cpu, began = server.cpu_seconds(), time.monotonic()
            report = storm(server, self.connections, self.in_flight)
            cpu, lasted = server.cpu_seconds() - cpu, time.monotonic() - began
        return {
            "us_per_connection": cpu / report.done * 1e6,
            "connections_per_s": report.done / lasted,
            "first_frame_p50_ms": report.latency_ms(0.5),
            "first_frame_p99_ms": report.latency_ms(0.99),
        }


@dataclass(frozen=True)
class Memory:
    """What a server's processes grow by for each viewer of a stream on which little happens."""

    load: Load
    warm: int = 100

    def run(self, who: Contestant, workers: int, seconds: float) -> Figures:
        """See `Scenario`."""
        with (
            running(who, workers) as server,
            feed(server, self.load),
            viewers(server, replace(self.load, viewers=self.warm)),
        ):
            time.sleep(_SETTLE_SECONDS)
            before = server.memory()
            with viewers(server, self.load):
                time.sleep(_SETTLE_SECONDS)
                grown = server.memory() - before
        return {"kib_per_viewer": grown / self.load.viewers / 1024}


@dataclass(frozen=True)
class Slow:
    """Fast viewers beside some who read slower than the stream is.

    Attributes:
        fast: the load of those who keep up.
        slow: how many do not.
        bytes_per_second: how fast those read.
    """

    fast: Load
    slow: int
    bytes_per_second: int

    def run(self, who: Contestant, workers: int, seconds: float) -> Figures:
        """See `Scenario`."""
        slow = replace(self.fast, viewers=self.slow)
        with ExitStack() as stack:
            server = stack.enter_context(running(who, workers))
            stack.enter_context(feed(server, self.fast))
            crowd = stack.enter_context(viewers(server, self.fast))
            time.sleep(_SETTLE_SECONDS)
            memory = server.memory()
            behind = viewers(server, slow, bytes_per_second=self.bytes_per_second)
            tail = stack.enter_context(behind)
            time.sleep(_SETTLE_SECONDS)
            tail.begin()
            _, figures = _watch(server, crowd, self.fast, seconds)
            report = tail.report()
            memory = server.memory() - memory
        figures["slow_gone"] = self.slow - report.open
        figures["slow_p50_ms"] = report.latency_ms(0.5)
        figures["slow_p99_ms"] = report.latency_ms(0.99)
        figures["slow_mib_each"] = memory / self.slow / 2**20
        return figures


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "500x16k": FanOut(Load(500, 16384)),
    "1500x2k": FanOut(Load(1500, 2048)),
    "200x64k": FanOut(Load(200, 65536)),
    "100x10": FanOut(Load(1000, 16384, streams=100), _LAP_SECONDS),
    "6000x16k": FanOut(Load(6000, 16384), _DIGEST_SECONDS),
    "saturation": Saturation(Load(3000, 16384)),
    "storm": Storm(4000, 200),
    "memory": Memory(Load(5000, 256, fps=0.5)),
    "slow": Slow(Load(200, 16384), slow=20, bytes_per_second=100_000),
}
