"""Checks the arithmetic of README.md by drawing viewers: ``python3 deploy/cluster/simulate.py``.

Viewers choose a region and a stream at random (streams by Zipf's law: few have most viewers),
and land in their region on the relay with the fewest. What then crosses which link is counted
relay by relay and compared with the formula, which knows only how many there are.

The constants are the assumptions; change them to yours and run it again.
"""

from __future__ import annotations

import argparse
import random
from bisect import bisect
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from typing import Final

__all__ = ["Plan", "Traffic", "expected", "simulate", "table"]

MBIT: Final = 4.0
"""Of one stream."""
RELAY_GBIT: Final = 8.0
"""What a relay may send to viewers: a link of 10 Gbit/s with room."""
RELAY_CORES: Final = 8
VIEWERS_PER_CORE: Final = 1000
"""Of one stream at 30 frames a second; measure yours with relay-load."""
ANNOUNCEMENT: Final = 300
"""Bytes in a second for one stream, to each node."""
ZIPF: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be served."""

    viewers: int
    regions: int
    streams: int

    @property
    def relays_of_a_region(self) -> int:
        """By whichever is short first, the network or the processors."""
        by_network = RELAY_GBIT * 1000 / MBIT
        by_cores = RELAY_CORES * VIEWERS_PER_CORE
        return max(1, ceil(self.viewers / self.regions / min(by_network, by_cores)))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Mbit/s, but for the number of relays.

    Attributes:
        relays: of all regions together.
        to_viewers: all relays together.
        into_relay: the most that one relay takes from its leaf node.
        into_region: the most that crosses into one region with a leaf node there.
        without_leaf: the most that would cross into one region without.
        announcements: into one region.
    """

    relays: int
    to_viewers: float
    into_relay: float
    into_region: float
    without_leaf: float
    announcements: float


def _weights(streams: int) -> list[float]:
    return [1 / rank**ZIPF for rank in range(1, streams + 1)]


def _distinct(streams: int, viewers: float) -> float:
    """Streams that at least one of so many viewers has chosen, on average."""
    weights = _weights(streams)
    total = sum(weights)
    return sum(1 - (1 - weight / total) ** viewers for weight in weights)


def expected(plan: Plan) -> Traffic:
    """The formula of README.md."""
    of_region = plan.viewers / plan.regions
    count = plan.relays_of_a_region
    into_relay = _distinct(plan.streams, of_region / count) * MBIT
    return Traffic(
        relays=count * plan.regions,
        to_viewers=plan.viewers * MBIT,
        into_relay=into_relay,
        into_region=_distinct(plan.streams, of_region) * MBIT,
        without_leaf=into_relay * count,
        announcements=plan.streams * ANNOUNCEMENT * 8 / 1e6,
    )


def simulate(plan: Plan, seed: int = 1) -> Traffic:
    """Draw every viewer, and count."""
    chance = random.Random(seed)
    steps = list(accumulate(_weights(plan.streams)))
    count = plan.relays_of_a_region
    relays: list[list[set[int]]] = [[set() for _ in range(count)] for _ in range(plan.regions)]
    arrived: Counter[int] = Counter()
    for _ in range(plan.viewers):
        region = chance.randrange(plan.regions)
        stream = bisect(steps, chance.random() * steps[-1])
        # The relay with the fewest viewers: they come in turn.
        relays[region][arrived[region] % count].add(stream)
        arrived[region] += 1
    return Traffic(
        relays=count * plan.regions,
        to_viewers=plan.viewers * MBIT,
        into_relay=max(len(each) for region in relays for each in region) * MBIT,
        into_region=max(len(set().union(*region)) for region in relays) * MBIT,
        without_leaf=max(sum(len(each) for each in region) for region in relays) * MBIT,
        announcements=plan.streams * ANNOUNCEMENT * 8 / 1e6,
    )


PLANS: Final = (
    Plan(10_000, 1, 20),
    Plan(100_000, 10, 100),
    Plan(1_000_000, 50, 100),
    Plan(1_000_000, 50, 1000),
)


def table(plans: tuple[Plan, ...] = PLANS) -> str:
    """The table in Markdown; in each cell the formula's number / the simulation's."""
    heads = ["viewers", "regions", "streams", "relays", "to viewers, Gbit/s"]
    heads += ["into a relay, Mbit/s", "into a region with a leaf node, Mbit/s"]
    heads += ["without, Mbit/s", "announcements, Mbit/s"]
    rows = [heads, ["--:"] * len(heads)]
    for plan in plans:
        formula, drawn = expected(plan), simulate(plan)
        rows.append(
            [
                f"{plan.viewers:,}",
                str(plan.regions),
                f"{plan.streams:,}",
                f"{formula.relays:,}",
                f"{formula.to_viewers / 1000:,.0f}",
                f"{formula.into_relay:,.0f} / {drawn.into_relay:,.0f}",
                f"{formula.into_region:,.0f} / {drawn.into_region:,.0f}",
                f"{formula.without_leaf:,.0f} / {drawn.without_leaf:,.0f}",
                f"{formula.announcements:.2g}",
            ]
        )
    return "".join(f"| {' | '.join(each)} |\n" for each in rows)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, allow_abbrev=False).parse_args()
    print(table(), end="")
