"""What a cluster costs, and who notices when a part of it breaks::

    python -m tests.bench.cluster                      # 600 viewers and two browsers
    python -m tests.bench.cluster --viewers 10 --only "nats-server" "cut"

Three relays and a NATS server on hosts of their own, which are network namespaces; four streams
of three publishers' hosts, and one that browsers can show. It prints tables in Markdown: how old
frames are when they arrive, what crossed each host's link to NATS, what bridges cost; then, for
each failure, who noticed. Needs root, iproute2, nats-server and Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bus.reclaim import reclaim
from relay.cluster.counters import Counter
from tests.bench.cluster_failures import FAILURES, break_and_watch
from tests.bench.cluster_site import Audience, Plan, Site, browsers_of, site
from tests.bench.compiling import MissingError
from tests.e2e.crowd import Crowd
from tests.e2e.waiting import run, until

__all__ = ["main"]


@dataclass(frozen=True, slots=True)
class _Reading:
    """One host's numbers at a moment.

    Attributes:
        published: frames of its publishers.
        link_in, link_out: bytes on its link to NATS.
        cpu: seconds of processor time of its bridge.
        counters: of its bridge.
    """

    published: int
    link_in: int
    link_out: int
    cpu: float
    counters: dict[Counter, int]


def _read(made: Site) -> dict[str, _Reading]:
    found = {}
    for name, node in made.nodes.items():
        streams = node.streams().values()
        published = sum(
            each["frames"] for each in streams if each["publisher"]["kind"] != "cluster"
        )
        counters = {each: node.number(each) for each in Counter}
        times = psutil.Process(node.bridge().pid).cpu_times()
        link_in, link_out = made.hosts[name].traffic()
        cpu = times.user + times.system
        found[name] = _Reading(published, link_in, link_out, cpu, counters)
    return found


def _ages(audiences: Iterable[Audience]) -> str:
    ages = [age * 1000 for each in audiences for who in each.viewers for _, age in who.checker.ages]
    cuts = statistics.quantiles(ages, n=100)
    return f"{cuts[49]:.1f} | {cuts[98]:.1f} | {len(ages):,}"


async def _measure(made: Site, audiences: Sequence[Audience], seconds: float) -> None:
    viewers = [viewer for audience in audiences for viewer in audience.viewers]
    for viewer in viewers:
        viewer.checker.ages.clear()
    lost = sum(each.checker.lost for each in viewers)
    before = await asyncio.to_thread(_read, made)
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(_read, made)
    print("\n| capture to arrival | p50, ms | p99, ms | frames |\n|---|--:|--:|--:|")
    print(
        "| viewers on the publisher's host |", _ages(a for a in audiences if a.home == a.owner), "|"
    )
    print("| through NATS |", _ages(a for a in audiences if a.home != a.owner), "|")
    print(f"\n{sum(each.checker.lost for each in viewers) - lost} frames did not arrive.\n")
    print(
        "| host | frames published | sent over its link | bytes out for a byte sent "
        "| frames received | bytes in for a byte received | bridge, µs a frame |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name in made.nodes:
        print(_link_row(name, before[name], after[name]))


def _link_row(name: str, before: _Reading, after: _Reading) -> str:
    def grown(counter: Counter) -> int:
        return after.counters[counter] - before.counters[counter]

    sent, received = grown(Counter.FRAMES_SENT), grown(Counter.FRAMES_RECEIVED)
    out = (after.link_out - before.link_out) / grown(Counter.BYTES_SENT)
    into = (after.link_in - before.link_in) / grown(Counter.BYTES_RECEIVED)
    cost = (after.cpu - before.cpu) / (sent + received) * 1e6
    published = after.published - before.published
    return f"| {name} | {published} | {sent} | {out:.2f} | {received} | {into:.2f} | {cost:.0f} |"


async def _scenario(made: Site, seconds: float, failures: Sequence[str]) -> None:
    audiences = made.audiences()
    viewers = [viewer for audience in audiences for viewer in audience.viewers]
    async with Crowd(viewers) as crowd:
        await crowd.arrive()
        await until(lambda: all(each.checker.frames > 10 for each in viewers), "frames")
        async with browsers_of(made, ("south", "edge")) as browsers:
            print(f"{len(viewers)} viewers of 4 streams, {len(browsers)} browsers of one more")
            await _measure(made, audiences, seconds)
            outcomes = [await break_and_watch(name, made, audiences, browsers) for name in failures]
    print(
        "\n| failure | who | noticed | median gap, s | longest gap, s "
        "| sockets lost | corrupt |\n|---|---|--:|--:|--:|--:|--:|"
    )
    print("\n".join(row for outcome in outcomes for row in outcome.noticed))
    print(f"\n| failure | bridges of {', '.join(made.nodes)}, MiB | workers, MiB |\n|---|---|---|")
    print("\n".join(outcome.memory for outcome in outcomes))
    corrupt = sum(node.number(Counter.CORRUPT) for node in made.nodes.values())
    print(f"\n{corrupt} frames with a wrong checksum between bridges.")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    assert __doc__ is not None
    head, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        "python -m tests.bench.cluster",
        description=head,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="of the calm measurement")
    parser.add_argument("--viewers", type=int, default=50, help="of each stream on each host")
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--size", type=int, default=8_000, help="bytes of a frame")
    parser.add_argument(
        "--only", nargs="+", metavar="WORDS", help="failures whose names contain these words"
    )
    options = parser.parse_args(argv)
    wanted = [name for name in FAILURES if any(word in name for word in options.only or ("",))]
    instance = f"bench-{secrets.token_hex(4)}"
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            site(
                Plan(options.viewers, options.fps, options.size), instance, Path(directory)
            ) as made,
        ):
            run(_scenario(made, options.seconds, wanted))
    except (OSError, MissingError) as exc:
        print(f"bench: error: {exc}", file=sys.stderr)
        return 1
    finally:
        for name in ("north", "south", "edge"):
            reclaim(f"{instance}-{name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
