"""Outages of single viewers, put together to what happened to many at once. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relay.load.counts import Outage

__all__ = ["Incident", "affected", "incidents"]

_APART_US = 2_000_000
_STEP_US = 50_000
_WORDS = {"lost": "connection lost", "ended": "publisher gone", "frozen": "no pictures"}


@dataclass(frozen=True, slots=True)
class Incident:
    """Outages of one cause that began about the same time.

    Attributes:
        at: seconds since the start.
        cause: in words.
        viewers: that were affected.
        median, longest: seconds without a picture.
        open: viewers that had no picture when the test ended.
        workers: viewers by the worker that served them before; empty when none is known.
    """

    at: float
    cause: str
    viewers: int
    median: float
    longest: float
    open: int
    workers: dict[str, int]

    def __str__(self) -> str:
        served = ", ".join(f"{count:,} of worker {slot}" for slot, count in self.workers.items())
        still = f"; {self.open:,} still without a picture at the end" if self.open else ""
        return (
            f"{self.cause}: {self.viewers:,} viewers{f' ({served})' if served else ''} without "
            f"a picture for {self.median:.2f} s (median), {self.longest:.2f} s (longest){still}"
        )


def incidents(outages: Iterable[Outage], start_us: int) -> list[Incident]:
    """Group outages.

    Args:
        outages: in any order.
        start_us: of the test, Unix microseconds.
    """
    groups: list[list[Outage]] = []
    latest: dict[str, list[Outage]] = {}
    for outage in sorted(outages, key=lambda each: each.began_us):
        group = latest.get(outage.cause)
        if group is None or outage.began_us - group[-1].began_us > _APART_US:
            group = latest[outage.cause] = []
            groups.append(group)
        group.append(outage)
    return [_incident(group, start_us) for group in groups]


def affected(outages: Iterable[Outage], start_us: int) -> list[tuple[float, int]]:
    """How many viewers had no picture, from which second of the test on.

    Args:
        outages: in any order.
        start_us: of the test, Unix microseconds.
    """
    changes: Counter[int] = Counter()
    for each in outages:
        began = (each.began_us - start_us) // _STEP_US
        ended = began + max(1, round(each.seconds * 1e6 / _STEP_US))
        changes.update({began: 1})
        changes.subtract({ended: 1})
    found, now = [(0.0, 0)], 0
    for step in sorted(changes):
        now += changes[step]
        found.append((step * _STEP_US / 1e6, now))
    return found


def _incident(group: Sequence[Outage], start_us: int) -> Incident:
    # A viewer whose outage had two causes, or that was hit twice, is one viewer.
    longest: dict[int, Outage] = {}
    for outage in group:
        if outage.viewer not in longest or outage.seconds > longest[outage.viewer].seconds:
            longest[outage.viewer] = outage
    served = Counter(each.worker for each in longest.values() if each.worker >= 0)
    return Incident(
        at=(group[0].began_us - start_us) / 1e6,
        cause=_WORDS[group[0].cause],
        viewers=len(longest),
        median=statistics.median(each.seconds for each in longest.values()),
        longest=max(each.seconds for each in longest.values()),
        open=sum(not each.over for each in longest.values()),
        workers={str(slot): served[slot] for slot in sorted(served)},
    )
