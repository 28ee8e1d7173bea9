"""The report as one HTML file that needs nothing else. Pure.

Bokeh draws it: it is a quarter of the size of its peers when put into the file, and its plots
share one time axis, so that zooming into one shows the same seconds of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

from bokeh.embed import components
from bokeh.models import DataRange1d, HoverTool
from bokeh.plotting import figure
from bokeh.resources import Resources

from relay.load.report import browser_line
from relay.load.thresholds import METRICS

__all__ = ["report_html"]

_COLOURS: Final = ("#2f7de1", "#e08a00", "#d92d20", "#1f9d6b", "#8350d6", "#0e8f9c", "#7a6a53")
_STYLE: Final = """
:root { color-scheme: light; }
body { max-width: 1240px; margin: 0 auto; padding: 28px 24px 60px; background: #f4f6f8;
  color: #14181d; font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 22px; overflow-wrap: anywhere; }
p { margin: 2px 0 18px; color: #53606e; }
.verdict { display: inline-block; margin: 14px 0 6px; padding: 6px 16px; border-radius: 8px;
  color: #fff; font-weight: 650; background: #1f8a5b; }
.verdict.failed { background: #d92d20; }
.note { padding: 10px 14px; border-left: 4px solid #e08a00; background: #fff6e5; color: #5c3b00; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); gap: 12px;
  margin: 16px 0; }
.card, .plot { padding: 12px 14px; border: 1px solid #dce1e7; border-radius: 10px;
  background: #fff; }
.card b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
.card span { color: #53606e; font-size: 13px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(520px, 1fr)); gap: 12px; }
ul { margin: 0 0 18px; padding-left: 20px; }
"""


def report_html(report: dict[str, Any]) -> str:
    """The page.

    Args:
        report: what `report.report_json` gives.
    """
    plots = list(_plots(report))
    script, boxes = components(plots)
    library = Resources("inline", components=["bokeh"]).render_js()
    verdict = "Passed" if report["passed"] else "Failed: " + ", ".join(report["broken"])
    limited = report["generator_limited"]
    note = f"<p class=note>The load generator was the limit: {escape(limited)}.</p>"
    drawn = "".join(f"<div class=plot>{box}</div>" for box in boxes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Load test of {escape(report["url"])}</title>
<style>{_STYLE}</style>{library}</head><body>
<h1>{escape(report["url"])}</h1>
<div class="verdict{"" if report["passed"] else " failed"}">{escape(verdict)}</div>
<p>{report["viewers"]:,} viewers in {report["processes"]} processes, \
{_length(report):.0f} s{", ended by the user" if report["interrupted"] else ""}</p>
{note if limited else ""}
<div class=cards>{"".join(_cards(report))}</div>
{_list(f"{count:,} times: {reason}" for reason, count in report["reasons"].items())}
{_list(f"browser {n}: {browser_line(each)}" for n, each in enumerate(report["browsers"]))}
{_list(f"at {event['at']:.0f} s: {event['what']}" for event in report["events"])}
<div class=plots>{drawn}</div>{script}</body></html>
"""


def _length(report: dict[str, Any]) -> float:
    return float(report["samples"][-1]["at"]) if report["samples"] else 0.0


def _cards(report: dict[str, Any]) -> Iterable[str]:
    for name, value in report["metrics"].items():
        unit, meaning = METRICS[name]
        number = "-" if value is None else f"{value:,.1f} {unit}" if unit else f"{value:,}"
        yield f"<div class=card><span>{name}</span><b>{number}</b><span>{meaning}</span></div>"


def _list(items: Iterable[str]) -> str:
    found = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{found}</ul>" if found else ""


def _plots(report: dict[str, Any]) -> Iterable[Any]:
    samples = report["samples"]
    at = [sample["at"] for sample in samples]
    slots = sorted({row["slot"] for sample in samples for row in sample["workers"]})

    def of(name: str) -> list[Any]:
        return [sample[name] for sample in samples]

    def by_worker(name: str, scale: float = 1.0) -> dict[str, list[float | None]]:
        return {
            f"worker {slot}": [_of_slot(sample["workers"], slot, name, scale) for sample in samples]
            for slot in slots
        }

    span = DataRange1d()
    charts: Sequence[tuple[str, dict[str, list[Any]]]] = (
        ("Frames a second, all viewers", {"frames/s": of("fps")}),
        ("Capture to arrival, ms", {name: of(name) for name in ("p50", "p95", "p99")}),
        ("Viewers", {"connected": of("connected"), "frozen": of("frozen")}),
        ("Viewers of each worker", by_worker("viewers")),
        ("Processors used by each worker", by_worker("cpu")),
        ("Memory of each worker, MiB", by_worker("rss", 1 / 2**20)),
        ("Processors used by the load generator", {"processors": of("generator_cpu")}),
    )
    for title, series in charts:
        plot = _figure(title, x_axis_label="seconds", x_range=span)
        for (name, values), colour in zip(series.items(), _COLOURS * 10, strict=False):
            numbers = [float("nan") if value is None else value for value in values]
            plot.line(at, numbers, legend_label=name, color=colour, line_width=2)
        marks = [event["at"] for event in report["events"]]
        plot.vspan(x=marks, line_dash="dashed", line_color="#777777")
        if series:
            plot.add_layout(plot.legend[0], "right")
            plot.legend.click_policy = "hide"
            plot.legend.border_line_alpha = 0
        plot.y_range.start = 0
        yield plot
    values = [value for value, _ in report["latency_ms"]]
    counts = [count for _, count in report["latency_ms"]]
    plot = _figure("How many frames took how long", x_axis_label="ms", x_axis_type="log")
    left = [max(value * 0.99, 1e-3) for value in values]
    right = [max(value * 1.01, 1.1e-3) for value in values]
    plot.quad(top=counts, bottom=0, left=left, right=right, color=_COLOURS[0])
    yield plot


def _of_slot(rows: Iterable[dict[str, Any]], slot: int, name: str, scale: float) -> float | None:
    """A worker's number; of two that overlap, the newer one's."""
    found = [float(row[name]) * scale for row in rows if row["slot"] == slot]
    return found[-1] if found else None


def _figure(title: str, **options: Any) -> Any:
    plot = figure(
        title=title,
        height=270,
        sizing_mode="stretch_width",
        tools="xpan,xwheel_zoom,box_zoom,reset,save",
        **options,
    )
    plot.add_tools(HoverTool(tooltips=[("at", "$x{0.0}"), ("value", "$y{0,0.0}")]))
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    return plot
