"""What a user sees while a test runs: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from relay.load.run import Look
from relay.load.samples import Sample

__all__ = ["plain_line", "progress", "view"]

_TICKS: Final = "▁▂▃▄▅▆▇█"
_HISTORY: Final = 48
_EVENTS: Final = 4


@contextmanager
def progress(console: Console) -> Iterator[Callable[[Look], None]]:
    """What shows each look on a console."""
    if not console.is_terminal:
        events = 0

        def show(look: Look) -> None:
            nonlocal events
            found = look.result.timeline.events
            for each in found[events:]:
                print(f"{each.at:5.0f} s  {each.what}")
            events = len(found)
            print(plain_line(look), flush=True)

        yield show
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda look: live.update(view(look), refresh=True)


def plain_line(look: Look) -> str:
    """One look as a line."""
    sample, counts = look.sample, look.counts
    spread = "/".join(str(row["viewers"]) for row in sample.workers) or "-"
    phase = f"{look.phase}  " if look.phase else ""
    return (
        f"{sample.at:5.0f} s  {phase}{sample.connected} viewers (workers {spread})  "
        f"{sample.fps:,.0f} frames/s  {sample.gbps:.2f} Gbit/s  p99 {_ms(sample.p99)}  "
        f"frozen {sample.frozen}  refused {counts.refused}  lost {counts.lost}  "
        f"invalid {counts.invalid}"
    )


def view(look: Look) -> RenderableType:
    """One look as a screen of at most 80 columns."""
    return Group(
        _title(look), Text(), _numbers(look), Text(), *_workers(look.sample), *_notes(look)
    )


def _title(look: Look) -> RenderableType:
    plan = look.plan
    line = Text.assemble((plan.target.shown, "bold"), f"  {look.phase}" if look.phase else "")
    line.truncate(78, overflow="ellipsis")
    if plan.most:
        return line
    left = Table.grid(padding=(0, 1))
    left.add_row(
        Bar(plan.duration, 0, min(look.sample.at, plan.duration), width=60, color="cyan"),
        Text(f"{look.sample.at:.0f} of {plan.duration:.0f} s"),
    )
    return Group(line, left)


def _numbers(look: Look) -> RenderableType:
    sample, counts = look.sample, look.counts
    history = look.result.timeline.samples[-_HISTORY:]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right", min_width=16)
    table.add_column()

    def row(name: str, value: str, of: Callable[[Sample], float], style: str) -> None:
        table.add_row(name, value, Text(_sparkline([of(each) for each in history]), style=style))

    row("viewers", f"{sample.connected:,} of {look.asked:,}", lambda s: s.connected, "cyan")
    row("frames/s", f"{sample.fps:,.0f}", lambda s: s.fps, "green")
    row("Gbit/s", f"{sample.gbps:.2f}", lambda s: s.gbps, "green")
    row("latency p50", _ms(sample.p50), lambda s: s.p50 or 0.0, "yellow")
    row("latency p99", _ms(sample.p99), lambda s: s.p99 or 0.0, "yellow")
    row("generator CPU", f"{sample.generator.cpu:.2f}", lambda s: s.generator.cpu, "magenta")
    errors = Text()
    for name in ("frozen", "refused", "lost", "invalid"):
        value = sample.frozen if name == "frozen" else getattr(counts, name)
        errors.append(f"{name} {value:,}   ", style="bold red" if value else "dim")
    return Group(table, Text(), errors)


def _workers(sample: Sample) -> Iterator[RenderableType]:
    if not sample.workers:
        yield Text("the relay tells nothing of its workers", style="dim")
        return
    most = max(1, *(row["viewers"] for row in sample.workers))
    table = Table.grid(padding=(0, 2))
    for row in sample.workers:
        table.add_row(
            Text(f"worker {row['slot']}", style="dim"),
            Text(f"{row['viewers']:,}", justify="right"),
            Bar(most, 0, row["viewers"], width=30, color="blue"),
            Text(f"{row['cpu']:.0%} CPU", justify="right"),
            Text(f"{row['rss'] / 2**20:.0f} MiB", justify="right"),
            Text("" if row["state"] == "ready" else row["state"], style="yellow"),
        )
    yield table


def _notes(look: Look) -> Iterator[RenderableType]:
    if look.sample.browsers:
        speeds = "  ".join("-" if each is None else f"{each:.0f}" for each in look.sample.browsers)
        yield Text(f"browsers' fps  {speeds}", style="dim")
    if look.result.timeline.events:
        yield Text()
    for event in look.result.timeline.events[-_EVENTS:]:
        line = Text(f"{event.at:5.0f} s  {event.what}", style="yellow")
        line.truncate(78, overflow="ellipsis")
        yield line


def _sparkline(values: Sequence[float]) -> str:
    most = max(values, default=0.0)
    if most <= 0:
        return _TICKS[0] * len(values)
    return "".join(_TICKS[min(7, int(each / most * 7.99))] for each in values)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"
