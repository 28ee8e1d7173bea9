"""When a run has failed: ``p99>100ms,freeze>0``. Pure.

::

    thresholds = threshold *("," threshold)
    threshold  = metric ( ">" | ">=" | "<" | "<=" ) number [unit]

A latency takes ``us``, ``ms`` (when there is none) or ``s``; a share ``%``; other numbers none.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["METRICS", "Threshold", "parse_thresholds"]

METRICS: Final[Mapping[str, tuple[str, str]]] = {
    "p50": ("ms", "capture to arrival, median"),
    "p95": ("ms", "capture to arrival, 95th percentile"),
    "p99": ("ms", "capture to arrival, 99th percentile"),
    "join": ("ms", "connecting to first picture, 95th percentile"),
    "paint": ("ms", "capture to paint in browsers, 95th percentile"),
    "connected": ("", "viewers connected at the end"),
    "frames": ("", "frames received"),
    "checked": ("", "frames whose payload carried a checksum, which was verified"),
    "freeze": ("", "times that a connected viewer got no picture for longer than a second"),
    "outage": ("ms", "longest time that a viewer was without a picture"),
    "refused": ("", "connections that were refused"),
    "lost": ("", "connections that broke or were closed by the relay"),
    "invalid": ("", "frames that break a rule of the protocol, or are corrupt"),
    "skipped": ("%", "share of frames that viewers were not sent"),
}
"""Unit and meaning of each metric."""

_SCALES: Final[Mapping[str, Mapping[str, float]]] = {
    "ms": {"us": 0.001, "ms": 1.0, "s": 1000.0, "": 1.0},
    "%": {"%": 1.0, "": 1.0},
    "": {"": 1.0},
}
_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM: Final = re.compile(r"\s*([a-z]\w*)\s*(>=|<=|>|<)\s*(\d+(?:\.\d+)?)\s*([a-z%]*)\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One condition under which a run has failed.

    Attributes:
        metric: one of `METRICS`.
        comparison: ``>``, ``>=``, ``<`` or ``<=``.
        limit: in the metric's unit.
    """

    metric: str
    comparison: str
    limit: float

    def broken_by(self, values: Mapping[str, float | None]) -> bool:
        """Whether a run has failed; a latency that nobody measured fails, too."""
        value = values[self.metric]
        return value is None or _OPERATORS[self.comparison](value, self.limit)

    def breach(self, values: Mapping[str, float | None]) -> str:
        """The condition and what broke it, for a person."""
        value, unit = values[self.metric], METRICS[self.metric][0]
        found = "not measured" if value is None else f"{value:,.4g}{unit}" if unit else f"{value:,}"
        return f"{self} ({found})"

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.limit:g}{METRICS[self.metric][0]}"


def parse_thresholds(text: str) -> tuple[Threshold, ...]:
    """Read thresholds.

    Raises:
        ValueError: naming the part that is none.
    """
    return tuple(_parse(part) for part in text.split(","))


def _parse(text: str) -> Threshold:
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text.strip()!r} is not a threshold; write one such as p99>100ms")
    metric, comparison, number, unit = match.groups()
    if metric not in METRICS:
        raise ValueError(f"{metric!r} is not a metric; there are {', '.join(METRICS)}")
    scales = _SCALES[METRICS[metric][0]]
    if unit not in scales:
        fitting = " or ".join(each for each in scales if each) or "none"
        raise ValueError(f"{text.strip()!r} has a unit that does not fit; {metric} takes {fitting}")
    return Threshold(metric, comparison, float(number) * scales[unit])
