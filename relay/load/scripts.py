"""What a test does with the load: holds it for a time, or raises it until something breaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from relay.load.counts import Counts
from relay.load.diagnosis import Diagnosis, diagnose
from relay.load.host import network_gbps
from relay.load.metrics import metrics, total
from relay.load.mix import Kind
from relay.load.result import Level, Limit
from relay.load.run import Run
from relay.load.search import LevelSearch

__all__ = ["find_limit", "hold"]

_ARRIVALS: Final = 300.0
"""Viewers that come in a second while the load is raised."""
_ARRIVAL_LIMIT: Final = 5.0
_SETTLE: Final = 1.0
_SINCE_ARRIVAL: Final = ("refused", "lost", "invalid")


def hold(run: Run) -> None:
    """All viewers, for the duration."""
    run.crowd(run.plan.viewers, run.plan.ramp)
    run.watch(run.plan.duration)


def find_limit(run: Run) -> None:
    """Raise the load until a threshold breaks, and find where it just holds."""
    plan = run.plan
    search = LevelSearch(plan.viewers, plan.most)
    levels: list[Level] = []
    crowd = 0
    run.result.limit = Limit(0, levels, complete=False)
    while (wanted := search.next) is not None and run.alive:
        run.phase = f"level {len(levels) + 1}: {wanted:,} viewers"
        level = _try(run, crowd, wanted)
        crowd = wanted
        levels.append(level)
        search.note(wanted, held=not level.broken)
        run.result.timeline.note(
            run.result.timeline.samples[-1].at,
            f"{wanted:,} viewers: " + (", ".join(level.broken) or "held"),
        )
        run.result.limit = Limit(search.best, levels, complete=False)
    run.result.limit = Limit(search.best, levels, complete=True)


def _try(run: Run, crowd: int, wanted: int) -> Level:
    """Measure a level; a second time when it breaks at first, for one bad moment is no limit."""
    if wanted < crowd:
        # What more viewers did to each other must be over.
        run.crowd(wanted, 0.0)
        run.watch(_SETTLE)
    arrived = run.kinds
    over = max(0.5, (wanted - crowd) / _ARRIVALS)
    run.crowd(wanted, over)
    run.watch_until(lambda: _answered(run, arrived) >= wanted, over + _ARRIVAL_LIMIT)
    level = _measure(run, wanted, arrived, arrived)
    if level.broken:
        # What so many newcomers did is over, or never will be.
        run.watch_until(lambda: _present(run) >= wanted, _ARRIVAL_LIMIT)
        level = _measure(run, wanted, arrived, run.kinds)
    return level


def _present(run: Run) -> int:
    return total(run.kinds).connected if run.kinds else 0


def _answered(run: Run, arrived: Mapping[str, Counts]) -> int:
    """Who is there, and who was refused: those come back in their own time."""
    return _present(run) + total(run.kinds).refused - total(arrived).refused


def _measure(
    run: Run, wanted: int, arrived: Mapping[str, Counts], judged: Mapping[str, Counts]
) -> Level:
    """Measure who is there.

    Args:
        arrived: sums before they came; what went wrong since tells what ran out.
        judged: sums from which on nothing may go wrong.
    """
    run.watch(_SETTLE)
    before, outages, paint = run.kinds, len(run.result.outages), len(run.result.paint_ms)
    samples = run.watch(run.plan.duration)
    window = {kind: run.kinds[kind].since(before[kind]) for kind in before}
    values = metrics(window, run.result.outages[outages:], run.result.paint_ms[paint:])
    since = total(run.kinds).since(total(judged))
    for name in _SINCE_ARRIVAL:
        values[name] = getattr(since, name)
    broken = [each.breach(values) for each in run.plan.fail_if if each.broken_by(values)]
    present = _present(run)
    if present < wanted and not run.plan.mix.half_open:
        broken.insert(0, f"{present:,} connected")
    diagnosis = Diagnosis("")
    if broken:
        diagnosis = diagnose(
            samples,
            total(run.kinds).since(total(arrived)).reasons,
            local=run.plan.local,
            died=run.died,
            skipped=window[Kind.WATCHING].skipped,
            network_gbps=network_gbps(),
        )
    return Level(
        wanted,
        broken,
        values,
        _mean([each.fps for each in samples]),
        _mean([each.gbps for each in samples]),
        _mean([sum(row["cpu"] for row in each.workers) for each in samples]),
        _mean([each.generator.cpu for each in samples]),
        diagnosis,
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0
