"""The report's charts, made with Bokeh: it is a quarter of the size of its peers when put into
a file, and its plots share one time axis, so that zooming into one shows the same seconds of
all. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from bokeh.models import ColumnDataSource, DataRange1d, HoverTool, NumeralTickFormatter
from bokeh.models.annotations.geometry import BoxAnnotation
from bokeh.plotting import figure

__all__ = ["plots"]

_COLOURS: Final = ("#2f7de1", "#e08a00", "#d92d20", "#1f9d6b", "#8350d6", "#0e8f9c", "#7a6a53")
_MARK: Final = "#d92d20"
_VIEWERS: Final = "Viewers"
_MIB: Final = 1 << 20
_NAMES_IN_A_ROW: Final = 6
_MOST_NAMES: Final = 24
"""Series above which their names would leave no room for their lines."""
Series = dict[str, list[float | None]]


def plots(report: dict[str, Any]) -> Iterator[Any]:
    """All charts.

    Args:
        report: what `report.report_json` gives.
    """
    samples = report["samples"]
    at = [sample["at"] for sample in samples]
    span = DataRange1d()
    for place, (title, series) in enumerate(_charts(samples)):
        if series:
            plot = _lines(title, at, series, report["events"], span)
            if title == _VIEWERS:
                _add_affected(plot, report["without_picture"], at)
            for each in report["incidents"]:
                plot.add_layout(
                    BoxAnnotation(
                        left=each["at"],
                        right=each["at"] + each["longest"],
                        fill_color=_MARK,
                        fill_alpha=0.1,
                    )
                )
            yield plot
        if place == 0 and report["latency_ms"]:
            yield _histogram(report["latency_ms"])


def _charts(samples: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Series]]:
    def of(name: str) -> list[float | None]:
        return [sample[name] for sample in samples]

    def own(name: str) -> list[float | None]:
        return [sample["generator"][name] for sample in samples]

    slots = sorted({row["slot"] for sample in samples for row in sample["workers"]})

    def by_worker(name: str, scale: float = 1.0) -> Series:
        return {
            f"worker {slot}": [_of_slot(sample["workers"], slot, name, scale) for sample in samples]
            for slot in slots
        }

    yield "Capture to arrival, ms", {name: of(name) for name in ("p50", "p95", "p99")}
    yield "Frames a second, all viewers", {"frames/s": of("fps")}
    yield _VIEWERS, {"connected": of("connected")}
    yield "Viewers of each worker", by_worker("viewers")
    yield "Processors used by each worker", by_worker("cpu")
    yield "Memory of each worker, with the rings it has read, MiB", by_worker("rss", 1 / _MIB)
    browsers = max((len(sample["browsers"]) for sample in samples), default=0)
    if browsers:
        yield (
            "Pictures a second in each browser",
            {
                f"browser {n}": [_at(sample["browsers"], n) for sample in samples]
                for n in range(browsers)
            },
        )
    yield (
        "Load generator: processors used, and how late it was (s)",
        {"all processes": own("cpu"), "busiest": own("busiest"), "late": own("lag")},
    )


def _of_slot(rows: Iterable[dict[str, Any]], slot: int, name: str, scale: float) -> float | None:
    """A worker's number; of two that overlap, the newer one's."""
    found = [float(row[name]) * scale for row in rows if row["slot"] == slot]
    return found[-1] if found else None


def _at(values: Sequence[float | None], index: int) -> float | None:
    return values[index] if index < len(values) else None


def _lines(
    title: str,
    at: Sequence[float],
    series: Series,
    events: Sequence[dict[str, Any]],
    span: DataRange1d,
) -> Any:
    plot = _figure(title, x_axis_label="seconds", x_range=span)
    for (name, values), colour in zip(series.items(), _COLOURS * 40, strict=False):
        numbers = [float("nan") if value is None else value for value in values]
        plot.line(at, numbers, legend_label=name, color=colour, line_width=2)
    known = [value for values in series.values() for value in values if value is not None]
    top = max(known, default=1.0) * 1.05 or 1.0
    plot.y_range.start, plot.y_range.end = 0, top
    if events:
        _mark(plot, events, top)
    plot.add_layout(plot.legend[0], "above")
    plot.legend.orientation = "horizontal"
    plot.legend.ncols = _NAMES_IN_A_ROW
    plot.legend.visible = len(series) <= _MOST_NAMES
    plot.legend.click_policy = "hide"
    plot.legend.border_line_alpha = plot.legend.padding = plot.legend.margin = 0
    plot.legend.label_text_font_size = "12px"
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    return plot


def _add_affected(plot: Any, steps: Sequence[tuple[float, int]], at: Sequence[float]) -> None:
    """Who had no picture: to the moment, and not only once a second."""
    times, counts = (list(each) for each in zip(*steps, strict=True))
    plot.step(
        [*times, max([*times, *at])],
        [*counts, counts[-1]],
        mode="after",
        legend_label="without a picture",
        color=_COLOURS[1],
        line_width=2,
    )


def _mark(plot: Any, events: Sequence[dict[str, Any]], top: float) -> None:
    """Events as lines; what they were shows at their heads."""
    source = ColumnDataSource(
        {
            "at": [each["at"] for each in events],
            "what": [each["what"] for each in events],
            "top": [top] * len(events),
        }
    )
    plot.vspan(x="at", source=source, line_dash="dashed", line_color=_MARK, line_alpha=0.6)
    heads = plot.scatter(
        "at", "top", source=source, marker="inverted_triangle", size=11, color=_MARK
    )
    plot.add_tools(HoverTool(renderers=[heads], tooltips=[("@at{0.0} s", "@what")]))


def _histogram(bars: Sequence[tuple[float, int]]) -> Any:
    """How many frames took how long; both axes are logarithmic, for the tail is the matter."""
    plot = _figure(
        "How many frames took how long", x_axis_label="ms", x_axis_type="log", y_axis_type="log"
    )
    left = [max(value * 0.99, 1e-3) for value, _ in bars]
    right = [max(value * 1.01, 1.1e-3) for value, _ in bars]
    plot.quad(
        top=[count for _, count in bars], bottom=0.5, left=left, right=right, color=_COLOURS[0]
    )
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0")
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0.[000]")
    return plot


def _figure(title: str, **options: Any) -> Any:
    plot: Any = figure(
        title=title,
        height=260,
        sizing_mode="stretch_width",
        min_border_left=64,
        tools="xpan,xwheel_zoom,box_zoom,reset,save",
        **options,
    )
    plot.add_tools(HoverTool(tooltips=[("at", "$x{0.0}"), ("value", "$y{0,0.0}")], mode="mouse"))
    plot.toolbar.logo = None
    plot.toolbar.autohide = True
    plot.outline_line_color = None
    plot.grid.grid_line_color = "#e8ecf0"
    plot.axis.axis_line_color = plot.axis.major_tick_line_color = "#b5bec8"
    plot.axis.minor_tick_line_color = None
    return plot
