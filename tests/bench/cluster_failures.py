"""What breaks in a cluster, who notices, and for how long."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from relay.cluster.counters import Counter
from tests.bench.cluster_site import Audience, Browser, Site
from tests.e2e.viewers import Viewer
from tests.e2e.waiting import until

__all__ = ["FAILURES", "Outcome", "break_and_watch"]

NOTICED: Final = 0.25
"""Seconds without a frame, beyond the stream's own interval, that count as noticed."""
CALM: Final = 3.0
"""Seconds that are watched before and after."""
CUT: Final = 10.0
AWAY: Final = 5.0
_MIB: Final = 1024 * 1024


async def _nothing(made: Site) -> None:
    await asyncio.sleep(CALM)


async def _kill_nats(made: Site) -> None:
    made.cluster.nats.kill()
    await asyncio.to_thread(made.cluster.nats.start)


async def _kill_bridge(made: Site) -> None:
    bridge = await asyncio.to_thread(made.nodes["north"].bridge)
    bridge.kill()


async def _kill_node(made: Site) -> None:
    await asyncio.to_thread(made.kill_node, "south")
    await asyncio.sleep(AWAY)
    await asyncio.to_thread(made.restart_node, "south")


async def _cut_link(made: Site) -> None:
    host = made.hosts["edge"]
    await asyncio.to_thread(host.cut)
    await asyncio.sleep(CUT)
    await asyncio.to_thread(host.restore)


FAILURES: Final[dict[str, Callable[[Site], Awaitable[None]]]] = {
    "nothing, for comparison": _nothing,
    "`kill -9` of nats-server, started again at once": _kill_nats,
    "`kill -9` of north's bridge": _kill_bridge,
    f"`kill -9` of node south, all of it, started again after {AWAY:g} s": _kill_node,
    f"edge's link cut for {CUT:g} s": _cut_link,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a failure did, as rows of tables.

    Attributes:
        noticed: failure, who, how many noticed, median and longest gap in seconds, sockets
            lost, corrupt frames and other broken rules.
        memory: failure, MiB of each node's bridge and of its workers, before and after.
    """

    noticed: list[str]
    memory: str


@dataclass(slots=True)
class _Before:
    """What a viewer had before.

    Attributes:
        lost: connections that ended.
        violations: broken rules, wrong checksums among them.
    """

    lost: int
    violations: int

    @classmethod
    def of(cls, viewer: Viewer) -> _Before:
        lost = sum(each.opened > 0 and each.closed > 0 for each in viewer.visits)
        return cls(lost, len(viewer.checker.violations))


async def break_and_watch(
    name: str, made: Site, audiences: Sequence[Audience], browsers: Sequence[Browser]
) -> Outcome:
    """Let something break and wait until all is well again."""
    everybody = [viewer for audience in audiences for viewer in audience.viewers]
    memory = await asyncio.to_thread(made.memory)
    before = {id(viewer): _Before.of(viewer) for viewer in everybody}
    reconnects = {browser.home: (await browser.tell())["reconnects"] for browser in browsers}
    begin = time.monotonic()
    await asyncio.sleep(CALM)
    await FAILURES[name](made)
    await until(lambda: _all_is_well(made, everybody), "all to be well again", limit=120)
    await asyncio.sleep(CALM)
    await until(lambda: _all_is_well(made, everybody), "all to stay well", limit=120)
    end = time.monotonic()
    rows, calm = [], []
    for audience in audiences:
        found = [
            (_silence(each, begin, end, made.plan.fps), each, before[id(each)])
            for each in audience.viewers
        ]
        noticed = [each for each in found if each[0] > NOTICED]
        if noticed:
            who = f"viewers on {audience.home} of {audience.owner}'s streams"
            rows.append(_row(who, len(found), noticed))
        calm += [each for each in found if each[0] <= NOTICED]
    for browser in browsers:
        told = await browser.tell()
        gap = told["longest"] - 1 / made.plan.fps
        lost = told["reconnects"] - reconnects[browser.home]
        cells = (f"{gap:.2f}", f"{gap:.2f}", lost, "")
        rows.append(_cells("", f"browser on {browser.home}", f"{gap > NOTICED:d} of 1", *cells))
    if calm:
        rows.append(_row("all other viewers", len(calm), calm, noticed=0))
    rows += _about_publishers(made, begin)
    rows[0] = rows[0].replace("|  |", f"| {name} |", 1)
    after = await asyncio.to_thread(made.memory)
    return Outcome(rows, _about_memory(name, memory, after))


def _all_is_well(made: Site, viewers: Iterable[Viewer]) -> bool:
    now = time.monotonic()
    return all(node.number(Counter.CONNECTED) for node in made.nodes.values()) and all(
        each.watching and now - each.checker.ages[-1][0] < NOTICED + 1 / made.plan.fps
        for each in viewers
    )


def _silence(viewer: Viewer, begin: float, end: float, fps: float) -> float:
    """Seconds of the longest time without a frame, beyond the stream's interval."""
    arrivals = [at for at, _ in viewer.checker.ages if begin <= at <= end]
    pairs = itertools.pairwise([begin, *arrivals, end])
    return max(0.0, max(after - before for before, after in pairs) - 1 / fps)


def _row(
    who: str,
    of: int,
    found: Sequence[tuple[float, Viewer, _Before]],
    *,
    noticed: int | None = None,
) -> str:
    gaps = [gap for gap, _, _ in found]
    now = [_Before.of(each) for _, each, _ in found]
    return _cells(
        "",
        who,
        f"{len(found) if noticed is None else noticed} of {of}",
        f"{statistics.median(gaps):.2f}",
        f"{max(gaps):.2f}",
        sum(new.lost - old.lost for new, (_, _, old) in zip(now, found, strict=True)),
        sum(new.violations - old.violations for new, (_, _, old) in zip(now, found, strict=True)),
    )


def _cells(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _about_publishers(made: Site, begin: float) -> list[str]:
    rows, untouched = [], 0
    for stream, publisher in made.publishers.items():
        news = [each for each in publisher.events if each["at"] >= begin]
        if not news:
            untouched += 1
            continue
        # Later ones are attempts to come back.
        lost = [each["at"] for each in news if each["event"] == "lost"][:1]
        back = [each["at"] for each in news if each["event"] == "live"]
        gap = f"{back[-1] - lost[0]:.2f}" if lost and back else "not back"
        who = f"publisher of {stream} on {made.owners[stream]}"
        rows.append(_cells("", who, "1 of 1", gap, gap, len(lost), ""))
    rows.append(_cells("", "all other publishers", f"0 of {untouched}", "", "", 0, ""))
    return rows


def _about_memory(
    name: str, before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]
) -> str:
    def grown(index: int) -> str:
        return ", ".join(
            f"{before[node][index] / _MIB:.1f} → {after[node][index] / _MIB:.1f}" for node in before
        )

    return _cells(name, grown(0), grown(1))
