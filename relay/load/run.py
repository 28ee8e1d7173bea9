"""One load test: starts the viewers' processes, looks at them and at the relay, ends them."""

from __future__ import annotations

import contextlib
import json
import signal
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Final

import multiprocess
from multiprocess.connection import wait

from relay.load.counts import Counts
from relay.load.pipe import Pipe
from relay.load.samples import Sample, Timeline
from relay.load.swarm import SwarmSettings, swarm_main
from relay.load.target import Target

__all__ = ["Result", "run"]

_LOOK: Final = 1.0
_ASK_LIMIT: Final = 0.5
_END_LIMIT: Final = 5.0


class Result:
    """What a run found.

    Attributes:
        counts: sums over all viewers, at the end.
        timeline: the run over time.
        peak: most viewers that were connected at once.
        asked: viewers that were asked for.
        died: viewers' processes that ended by themselves.
        interrupted: whether the user ended it.
        browsers: what each browser's player said last; None: nothing.
        paint_ms: capture to paint, once a second from each of them.
    """

    def __init__(self, asked: int) -> None:
        self.counts = Counts()
        self.timeline = Timeline()
        self.peak = 0
        self.asked = asked
        self.died = 0
        self.interrupted = False
        self.browsers: list[dict[str, Any] | None] = []
        self.paint_ms: list[float] = []

    def note_browsers(self, said: list[dict[str, Any] | None]) -> None:
        """Take what the players say now."""
        self.browsers = said
        self.paint_ms += [
            each["latencyMs"] for each in said if each and each["latencyMs"] is not None
        ]


def run(
    target: Target,
    token: str,
    *,
    viewers: int,
    processes: int,
    duration: float,
    ramp: float,
    browsers: int,
    chromium: str,
    show: Callable[[Sample, Counts], None],
) -> Result:
    """Test, and return what was found; Ctrl-C ends it early.

    Args:
        browsers: pages with the real player.
        chromium: program that shows them.
        show: called about once a second.
    """
    result = Result(viewers)
    context = multiprocess.get_context("spawn")
    shares = [viewers // processes + (n < viewers % processes) for n in range(processes)]
    pipes: list[Pipe] = []
    children = []
    latest: dict[Pipe, Counts] = {}
    screen: Pipe | None = None
    # Also where it was started with Ctrl-C ignored, as scripts start programs in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if browsers:
            from relay.load.browsers import browsers_main

            screen, theirs = context.Pipe()
            page = target.watch_url(token)
            child = context.Process(target=browsers_main, args=(chromium, page, browsers, theirs))
            child.start()
            theirs.close()
            children.append(child)
        for share in shares:
            settings = SwarmSettings(
                target.host, target.port, target.path, target.secure, token, share, ramp
            )
            ours, theirs = context.Pipe()
            child = context.Process(target=swarm_main, args=(settings, theirs), daemon=True)
            child.start()
            theirs.close()
            pipes.append(ours)
            children.append(child)
        _watch(target, token, result, pipes, screen, latest, duration, show)
    except KeyboardInterrupt:
        result.interrupted = True
    finally:
        for pipe in [*pipes, *([screen] if screen else [])]:
            with contextlib.suppress(OSError):
                pipe.send("stop")
            pipe.close()
        for child in children:
            child.join(_END_LIMIT)
            if child.is_alive():
                child.kill()
                child.join()
    return result


def _watch(
    target: Target,
    token: str,
    result: Result,
    pipes: list[Pipe],
    screen: Pipe | None,
    latest: dict[Pipe, Counts],
    duration: float,
    show: Callable[[Sample, Counts], None],
) -> None:
    alive = list(pipes)
    while len(latest) < len(pipes) and alive:
        _collect(alive, latest, result, 1.0)
    start = time.monotonic()
    due = start + _LOOK
    while alive and time.monotonic() < start + duration:
        _collect(alive, latest, result, max(0.0, due - time.monotonic()))
        if time.monotonic() < due:
            continue
        due += _LOOK
        if screen is not None:
            screen = _listen(screen, result)
        counts = Counts()
        for each in latest.values():
            counts.add(each)
        result.counts = counts
        result.peak = max(result.peak, counts.connected)
        rows = _workers(target, token)
        show(result.timeline.look(time.monotonic() - start, counts, rows), counts)


def _listen(screen: Pipe, result: Result) -> Pipe | None:
    """Take what the browsers said; None when they are gone."""
    try:
        while screen.poll():
            result.note_browsers(screen.recv())
    except (EOFError, OSError):
        result.died += 1
        return None
    return screen


def _collect(
    alive: list[Pipe], latest: dict[Pipe, Counts], result: Result, patience: float
) -> None:
    for pipe in wait(alive, patience):
        try:
            latest[pipe] = pipe.recv()
        except (EOFError, OSError):
            alive.remove(pipe)
            result.died += 1


def _workers(target: Target, token: str) -> list[dict[str, Any]]:
    """The relay's own account; nothing when it is no relay of ours or does not answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(target.workers_url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_ASK_LIMIT) as answer:
            rows: list[dict[str, Any]] = json.load(answer)["workers"]
            return [row for row in rows if {"slot", "pid", "viewers", "cpu", "rss"} <= row.keys()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
