"""The report as one HTML file that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any, Final

from bokeh.embed import components
from bokeh.resources import Resources

from relay.load.plots import plots
from relay.load.report import browser_line, paint_line, ran_out
from relay.load.thresholds import METRICS

__all__ = ["report_html"]

_FIRST: Final = ("connected", "p50", "p95", "p99", "paint", "join", "freeze", "outage")
"""Metrics that are read first; the others follow."""
_STYLE: Final = """
:root { color-scheme: light; }
body { max-width: 1280px; margin: 0 auto; padding: 28px 24px 60px; background: #f4f6f8;
  color: #14181d; font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 22px; overflow-wrap: anywhere; }
h2 { margin: 26px 0 8px; font-size: 16px; }
p { margin: 2px 0 18px; color: #53606e; }
.verdict { display: inline-block; margin: 14px 0 6px; padding: 6px 16px; border-radius: 8px;
  color: #fff; font-weight: 650; background: #1f8a5b; }
.verdict.failed { background: #d92d20; }
.note, .incident { padding: 10px 14px; border-left: 4px solid #e08a00; background: #fff6e5;
  color: #5c3b00; margin: 0 0 10px; }
.incident { border-color: #d92d20; background: #fdeceb; color: #6b1710; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: 12px;
  margin: 16px 0; }
.card, .plot, table { padding: 12px 14px; border: 1px solid #dce1e7; border-radius: 10px;
  background: #fff; }
.card b { display: block; font-size: 19px; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.card span { color: #53606e; font-size: 13px; display: block; line-height: 1.35; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(520px, 100%), 1fr));
  gap: 12px; }
.plot { min-width: 0; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: #53606e; }
th, td { padding: 3px 14px 3px 0; vertical-align: top; overflow-wrap: anywhere; }
td { font-variant-numeric: tabular-nums; }
"""


def report_html(report: dict[str, Any]) -> str:
    """The page.

    Args:
        report: what `report.report_json` gives.
    """
    charts = list(plots(report))
    script, boxes = components(charts) if charts else ("", ())
    library = Resources("inline", components=["bokeh"]).render_js()
    drawn = "".join(f"<div class=plot>{box}</div>" for box in boxes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Load test of {escape(report["url"])}</title>
<style>{_STYLE}</style>{library}</head><body>
<h1>{escape(report["url"])}</h1>
{_verdict(report)}
<p>{_subtitle(report)}</p>
{"".join(_notes(report))}
<div class=cards>{"".join(_cards(report))}</div>
<div class=plots>{drawn}</div>
{"".join(_tables(report))}
{script}</body></html>
"""


def _verdict(report: dict[str, Any]) -> str:
    failed = "" if report["passed"] else " failed"
    return f'<div class="verdict{failed}">{escape(report["verdict"])}</div>'


def _subtitle(report: dict[str, Any]) -> str:
    length = report["samples"][-1]["at"] if report["samples"] else 0.0
    parts = [escape(report["conditions"]["viewers"])]
    if report["browsers"]:
        parts.append(f"{len(report['browsers'])} real browsers")
    parts.append(f"{length:.0f} s")
    if report["interrupted"]:
        parts.append("ended by the user")
    return ", ".join(parts)


def _notes(report: dict[str, Any]) -> Iterator[str]:
    words = ran_out(report)
    if words and report["limit"] is None:
        yield f"<div class=note>{escape(words[0].upper() + words[1:])}</div>"
    for each in report["incidents"]:
        yield f"<div class=incident>At {each['at']:.1f} s: {escape(each['words'])}</div>"


def _cards(report: dict[str, Any]) -> Iterator[str]:
    values = report["metrics"]
    for name in [*_FIRST, *(name for name in values if name not in _FIRST)]:
        unit, meaning = METRICS[name]
        value = values[name]
        if value is None:
            continue
        number = f"{value:,.1f} {unit}" if unit else f"{value:,}"
        yield f"<div class=card><span>{name}</span><b>{number}</b><span>{meaning}</span></div>"


def _tables(report: dict[str, Any]) -> Iterator[str]:
    limit = report["limit"]
    if limit is not None:
        yield _table(
            "Levels",
            ("viewers", "frames/s", "p99 ms", "relay CPU", "generator CPU", "result"),
            (_level(each) for each in limit["levels"]),
        )
    yield _table(
        "Events", ("at", "what"), ((f"{e['at']:.1f} s", e["what"]) for e in report["events"])
    )
    yield _table(
        "What went wrong",
        ("times", "what"),
        ((f"{count:,}", why) for why, count in report["reasons"].items()),
    )
    yield _table(
        f"Browsers; {paint_line(report)}" if paint_line(report) else "Browsers",
        ("", "its player's account", "without a new picture"),
        (
            (f"browser {n}", browser_line(each), f"{frozen} s")
            for n, (each, frozen) in enumerate(
                zip(report["browsers"], report["browser_freezes"], strict=False)
            )
        ),
    )
    if len(report["kinds"]) > 1:
        yield _table(
            "Kinds of viewers",
            ("kind", "connected", "frames", "skipped", "lost"),
            (
                (kind, *(f"{sums[name]:,}" for name in ("connected", "frames", "skipped", "lost")))
                for kind, sums in report["kinds"].items()
            ),
        )
    ways = {way: n for sums in report["kinds"].values() for way, n in sums["left"].items()}
    yield _table("Left and came anew", ways, [[f"{n:,}" for n in ways.values()]] if ways else [])
    yield _table("Conditions", ("", ""), report["conditions"].items())


def _level(level: dict[str, Any]) -> Sequence[str]:
    p99 = level["values"]["p99"]
    return (
        f"{level['viewers']:,}",
        f"{level['fps']:,.0f}",
        "-" if p99 is None else f"{p99:,.1f}",
        f"{level['relay_cpu']:.2f}",
        f"{level['generator_cpu']:.2f}",
        ", ".join(level["broken"]) or "held",
    )


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    if not body:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    return f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>"
