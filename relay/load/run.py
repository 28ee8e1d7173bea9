"""One load test: starts its processes, looks at them and at the relay, ends them."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import psutil

from relay.load.children import Children
from relay.load.counts import Counts, SwarmReport
from relay.load.metrics import total
from relay.load.mix import Kind
from relay.load.pipe import Pipe
from relay.load.plan import Plan
from relay.load.publishers import PublisherReport, PublisherSettings, publishers_main
from relay.load.relay_watch import RelayWatch
from relay.load.result import Result
from relay.load.samples import Generator, Sample
from relay.load.swarm import Resize, SwarmSettings, swarm_main

__all__ = ["CannotStart", "Look", "Run", "run"]

_LOOK: Final = 1.0
_PUBLISH_LIMIT: Final = 20.0
_BROWSERS_LIMIT: Final = 60.0


class CannotStart(Exception):
    """Test streams are refused, or nobody takes them; or browsers show no page."""


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to show, once a second.

    Attributes:
        plan: what was asked for.
        phase: what is going on, in words.
        asked: viewers that there are to be now.
        sample: the last second.
        counts: sums over all viewers.
        result: everything so far.
    """

    plan: Plan
    phase: str
    asked: int
    sample: Sample
    counts: Counts
    result: Result


Show = Callable[[Look], None]


def run(plan: Plan, script: Callable[[Run], None], show: Show) -> Result:
    """Test, and return what was found; Ctrl-C ends it early.

    Args:
        plan: what was asked for.
        script: sets the load and watches, until the test is over.
        show: called about once a second.

    Raises:
        CannotStart: when test streams cannot be published, or browsers cannot be opened.
    """
    # Also where it was started with Ctrl-C ignored, as scripts start programs in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    test = Run(plan, show)
    try:
        test.start()
        script(test)
    except KeyboardInterrupt:
        test.result.interrupted = True
    finally:
        # A second Ctrl-C must not keep the report from being written.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        test.stop()
    return test.result


class Run:
    """A test that runs. Use `run`.

    Attributes:
        plan: what was asked for.
        result: what it has found so far.
        phase: shown to the user.
    """

    def __init__(self, plan: Plan, show: Show) -> None:
        self.plan = plan
        self.result = Result()
        self.phase = ""
        self._show = show
        self._children = Children()
        self._swarms: list[Pipe] = []
        self._latest: dict[Pipe, SwarmReport] = {}
        self._lag = 0.0
        self._cpu_before: dict[Pipe, float] = {}
        self._publishers: PublisherReport | None = None
        self._relay = RelayWatch(plan.target, plan.token, local=plan.local)
        self._asked = 0
        self._start = self._last = self._counted = 0.0

    # Beginning and end.

    def start(self) -> None:
        """Start everything but viewers.

        Raises:
            CannotStart: see there.
        """
        plan = self.plan
        if plan.publish is not None:
            self._publish()
        for place in range(plan.processes):
            paths = tuple(plan.target.view_path(name) for name in plan.streams)
            settings = SwarmSettings(
                target=plan.target,
                paths=paths,
                token=plan.token,
                mix=plan.mix,
                churn=plan.churn,
                clocks=plan.clocks,
                place=place,
                processes=plan.processes,
            )
            self._swarms.append(self._children.start(swarm_main, settings))
        while len(self._latest) < len(self._swarms) and not self._children.died:
            self._hear(1.0)
        if plan.browsers:
            from relay.load.browsers import browsers_main

            pages = [
                plan.target.watch_url(plan.streams[n % len(plan.streams)], plan.token)
                for n in range(plan.browsers)
            ]
            self._children.start(browsers_main, plan.chromium, pages)
            self._await_browsers()
        self.result.relay = self._relay.look()
        self._relay.start()
        psutil.cpu_percent()
        self._start = self._last = time.monotonic()
        self.result.started_us = time.time_ns() // 1000

    def _await_browsers(self) -> None:
        """Until they speak: while they start, they would take time from everybody."""
        deadline, died = time.monotonic() + _BROWSERS_LIMIT, self.died
        while not self.result.browsers:
            self._hear(1.0)
            if self.died > died or time.monotonic() > deadline:
                raise CannotStart("--browsers: they do not open the pages of the relay")

    def _publish(self) -> None:
        plan, wanted = self.plan, self.plan.publish
        assert wanted is not None
        urls = tuple(plan.target.publish_url(name) for name in wanted.names)
        settings = PublisherSettings(wanted, urls, plan.token, plan.browsers > 0)
        self._children.start(publishers_main, settings)
        deadline = time.monotonic() + _PUBLISH_LIMIT
        while self._publishers is None or self._publishers.live < len(wanted.names):
            self._hear(1.0)
            said = self._publishers
            if said is not None and said.failure:
                raise CannotStart(f"--publish: {said.failure}")
            if time.monotonic() > deadline or self._children.died:
                why = f": {said.trouble}" if said is not None and said.trouble else ""
                raise CannotStart(
                    f"--publish: {plan.target.shown}: the relay does not take {wanted}{why}"
                )

    def stop(self) -> None:
        """End everything; what viewers say at last counts."""
        self.result.died = self._children.died
        self._relay.stop()
        # Viewers before publishers, whose end they would take for an outage.
        for _, said in self._children.stop(self._swarms):
            if isinstance(said, SwarmReport):
                self.result.outages += said.outages
        self._children.end()

    # Load.

    def crowd(self, viewers: int, over: float) -> None:
        """Let so many viewers be there, in so many seconds."""
        self._asked = viewers
        count = len(self._swarms)
        for place, pipe in enumerate(self._swarms):
            share = viewers // count + (place < viewers % count)
            self._children.send(pipe, Resize(share, over))

    # Looking.

    @property
    def alive(self) -> bool:
        """Whether there is anybody to watch."""
        return self._children.alive

    @property
    def died(self) -> int:
        """Processes of the generator that ended by themselves."""
        return self._children.died

    @property
    def kinds(self) -> dict[str, Counts]:
        """Sums by kind of viewer, as of the last look; never changed afterwards."""
        return self.result.kinds

    def watch(self, seconds: float) -> list[Sample]:
        """Look once a second, for so many seconds; what was seen."""
        return list(self._looks(seconds))

    def watch_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Look until a condition holds; whether it does, after so many seconds at most."""
        return any(condition() for _ in self._looks(seconds)) or condition()

    def _looks(self, seconds: float) -> Iterator[Sample]:
        end = time.monotonic() + seconds
        # A look takes a whole interval, so that its rates mean something: the time is rounded.
        count = max(1, round((end - self._last) / _LOOK))
        for _ in range(count):
            if not self.alive:
                return
            due = self._last + _LOOK
            while (left := due - time.monotonic()) > 0:
                self._hear(left)
            yield self._look()

    def _look(self) -> Sample:
        self._last = time.monotonic()
        at = self._last - self._start
        # What the numbers are of: reports come when they come, not when they are looked at.
        taken = [each.at for each in self._latest.values()]
        counted = statistics.fmean(taken) - self._start if taken else at
        self.result.kinds = self._sums()
        counts = total(self.result.kinds)
        speeds = [float(each["fps"]) if each else None for each in self.result.browsers]
        latency = self.result.kinds[Kind.WATCHING].latency_us
        timeline = self.result.timeline
        generator = self._generator(max(counted - self._counted, 1e-3))
        self._counted = counted
        relay = self._relay.state
        sample = timeline.look(at, counted, counts, latency, relay, generator, speeds)
        self._show(Look(self.plan, self.phase, self._asked, sample, counts, self.result))
        return sample

    def _sums(self) -> dict[str, Counts]:
        found = {str(kind): Counts() for kind in Kind}
        for report in self._latest.values():
            for kind, counts in report.kinds.items():
                found[kind].add(counts)
        return found

    def _generator(self, passed: float) -> Generator:
        used = {
            pipe: report.cpu - self._cpu_before.get(pipe, report.cpu)
            for pipe, report in self._latest.items()
        }
        self._cpu_before = {pipe: report.cpu for pipe, report in self._latest.items()}
        lag, self._lag = self._lag, 0.0
        return Generator(
            cpu=sum(used.values()) / passed,
            busiest=max(used.values(), default=0.0) / passed,
            lag=lag,
            host_cpu=psutil.cpu_percent() / 100,
        )

    def _hear(self, patience: float) -> None:
        for pipe, said in self._children.receive(patience):
            self._take(pipe, said)

    def _take(self, pipe: Pipe, said: Any) -> None:
        match said:
            case SwarmReport():
                self._latest[pipe] = said
                self._lag = max(self._lag, said.lag)
                self.result.outages += said.outages
            case PublisherReport():
                self._note_publishers(said)
            case list():
                self.result.note_browsers(said)
            case str():
                raise CannotStart(f"--browsers: {said}")

    def _note_publishers(self, said: PublisherReport) -> None:
        before, self._publishers = self._publishers, said
        if said.failure and self._start and not (before and before.failure):
            at = time.monotonic() - self._start
            self.result.timeline.note(at, f"publisher gave up: {said.failure}")
