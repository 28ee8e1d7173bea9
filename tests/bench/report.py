"""A table in Markdown and a plot of what was measured::

    python -m tests.bench.report build/bench/rows.jsonl --plot build/bench/fanout.png

Medians of all rows of the file. CPU of fan-outs, that of the server and that of the whole machine,
is also shown as a multiple of the C send() loop's with as many workers, since only ratios within
one run mean much.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

__all__ = ["main", "medians", "table"]

FLOOR: Final = "floor_send"
FAN_OUTS: Final = ("500x16k", "1500x2k", "200x64k", "100x10")
COSTS: Final = ("us_per_frame", "machine_us_per_frame")
HEADLINES: Final = {
    **dict.fromkeys(FAN_OUTS, ("us_per_frame", "CPU µs per frame")),
    **dict.fromkeys(("6000x16k", "saturation"), ("frames_per_s", "frames/s")),
    "storm": ("us_per_connection", "CPU µs per connection"),
    "memory": ("kib_per_viewer", "KiB per viewer"),
    "slow": ("slow_mib_each", "MiB per slow viewer"),
}
Key = tuple[str, int, str]
Medians = dict[Key, dict[str, float]]


def medians(rows: list[dict[str, Any]]) -> Medians:
    """Figures by name of contestant, workers and scenario."""
    found: defaultdict[Key, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for figure, value in row.get("figures", {}).items():
            found[row["name"], row["workers"], row["scenario"]][figure].append(value)
    return {
        key: {figure: statistics.median(values) for figure, values in figures.items()}
        for key, figures in found.items()
    }


def _multiples(rows: list[dict[str, Any]], found: Medians) -> dict[Key, dict[str, float]]:
    """Each CPU figure of the fan-outs as a multiple of the floor's."""
    floor = next((row["name"] for row in rows if row["contestant"] == FLOOR), "")
    return {
        (name, workers, scenario): {
            figure: figures[figure] / found[floor, workers, scenario][figure] for figure in COSTS
        }
        for (name, workers, scenario), figures in found.items()
        if scenario in FAN_OUTS and (floor, workers, scenario) in found
    }


def table(rows: list[dict[str, Any]]) -> str:
    """One row for each contestant with each number of workers, one column a scenario."""
    found = medians(rows)
    multiples = _multiples(rows, found)
    scenarios = [name for name in HEADLINES if any(key[2] == name for key in found)]
    heads = [f"{name}: {HEADLINES[name][1]}" for name in scenarios]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, workers in sorted({key[:2] for key in found}, key=lambda who: (who[1], who[0])):
        cells = [_cell(found, multiples, (name, workers, scenario)) for scenario in scenarios]
        lines.append(f"| {name} *{workers} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: Medians, multiples: dict[Key, dict[str, float]], key: Key) -> str:
    if key not in found:
        return ""
    figures, (headline, _) = found[key], HEADLINES[key[2]]
    value = figures[headline]
    cell = f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
    if key in multiples:
        server, machine = (multiples[key][figure] for figure in COSTS)
        cell += f" ({server:.2f}x), machine {figures[COSTS[1]]:.1f} ({machine:.2f}x)"
    if "p99_ms" in figures:
        cell += f", p99 {figures['p99_ms']:.1f} ms"
    return cell + (f", lost {figures['lost']:,.0f}" if figures.get("lost") else "")


def plot(rows: list[dict[str, Any]], file: Path, workers: int) -> None:
    """Bars of CPU per delivered frame as multiples of the floor's, if there are any."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    multiples = _multiples(rows, medians(rows))
    scenarios = [s for s in FAN_OUTS if any(key[1:] == (workers, s) for key in multiples)]
    if not scenarios:
        return
    names = sorted(
        {key[0] for key in multiples if key[1] == workers},
        key=lambda name: -multiples.get((name, workers, scenarios[0]), {}).get(COSTS[0], 0),
    )
    figure, both = pyplot.subplots(
        1, 2, sharex=True, sharey=True, figsize=(11, 1 + 0.5 * len(names))
    )
    height = 0.8 / max(1, len(scenarios))
    for axes, cost, whose in zip(both, COSTS, ("the server", "the whole machine"), strict=True):
        for number, scenario in enumerate(scenarios):
            at = [place - number * height for place in range(len(names))]
            costs = [multiples.get((name, workers, scenario), {}) for name in names]
            axes.barh(at, [each.get(cost, 0) for each in costs], height, label=scenario)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_yticks([place - 0.4 + height / 2 for place in range(len(names))], names)
        axes.set_xlabel(f"CPU of {whose} per delivered frame")
    named = both[0].get_legend_handles_labels()
    figure.legend(*named, loc="upper right", ncols=len(scenarios), frameon=False)
    figure.suptitle(
        f"{workers} worker(s), in multiples of a C loop", x=0.02, ha="left", fontsize=11
    )
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def main() -> None:
    """Print the table, draw the plot."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--plot", type=Path, help="picture to write")
    parser.add_argument("--workers", type=int, default=1, help="of the plot")
    wanted = parser.parse_args()
    rows = [json.loads(line) for line in wanted.rows.read_text(encoding="utf-8").splitlines()]
    print(table(rows))
    print("\nMeasured with:")
    for text in sorted({f"{row['name']}: {row['version']}" for row in rows if row["version"]}):
        print(f"* {text}")
    for text in sorted({_machine(row["conditions"]) for row in rows}):
        print(f"* {text}")
    if wanted.plot:
        plot(rows, wanted.plot, wanted.workers)


def _machine(conditions: dict[str, Any]) -> str:
    return (
        f"{conditions['processors']} processors of {conditions['processor']}, "
        f"Linux {conditions['kernel']}, Python {conditions['python']}"
    )


if __name__ == "__main__":
    main()
