"""A finished run as plain values and as lines for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from relay.load.diagnosis import Diagnosis, diagnose
from relay.load.incidents import affected, incidents
from relay.load.metrics import metrics, percentile, total
from relay.load.mix import Kind
from relay.load.plan import Plan
from relay.load.result import Limit, Result
from relay.load.thresholds import METRICS

__all__ = ["browser_line", "limit_line", "lines", "paint_line", "ran_out", "report_json"]


def report_json(
    result: Result, plan: Plan, host: Mapping[str, str], network_gbps: float = 0.0
) -> dict[str, Any]:
    """Everything that was found, for `json.dumps`.

    Args:
        host: conditions of this host, by name.
        network_gbps: speed of this host's network; 0: unknown.
    """
    values = metrics(result.kinds, result.outages, result.paint_ms)
    everybody, watching = total(result.kinds), result.kinds.get(Kind.WATCHING)
    samples = result.timeline.samples
    found = diagnose(
        samples,
        everybody.reasons,
        local=plan.local,
        died=result.died,
        skipped=watching.skipped if watching else 0,
        network_gbps=network_gbps,
    )
    breaches = [each for each in plan.fail_if if each.broken_by(values)]
    broken = [str(each) for each in breaches]
    verdict = "Failed: " + ", ".join(each.breach(values) for each in breaches)
    if result.limit is not None:
        # Thresholds were for its levels, and breaking one was the aim.
        broken = [] if result.limit.best else ["no level held"]
        verdict = f"Limit: {limit_line(result.limit)}"
    elif not broken:
        verdict = "Passed"
    happened = incidents(result.outages, result.started_us)
    return {
        "url": plan.target.shown,
        "viewers": plan.viewers,
        "interrupted": result.interrupted,
        "passed": not broken,
        "broken": broken,
        "verdict": verdict,
        "metrics": values,
        "units": {name: unit for name, (unit, _) in METRICS.items()},
        "diagnosis": asdict(found),
        "limit": _limit(result.limit),
        "kinds": {
            kind: {
                "connected": counts.connected,
                "frames": counts.frames,
                "skipped": counts.skipped,
                "lost": counts.lost,
                "left": dict(counts.left),
            }
            for kind, counts in result.kinds.items()
            if plan.mix.share(Kind(kind))
        },
        "reasons": dict(everybody.reasons.most_common()),
        "incidents": [{**asdict(each), "words": str(each)} for each in happened],
        "without_picture": affected(result.outages, result.started_us),
        "browsers": result.browsers,
        "browser_freezes": result.freezes,
        "paint_ms": {str(p): percentile(result.paint_ms, p) for p in (50, 95, 99)},
        "events": [asdict(each) for each in result.timeline.events],
        "latency_ms": [
            [round(value / 1000, 3), count]
            for value, count in (watching.latency_us.bars() if watching else ())
        ],
        "conditions": {**_conditions(result, plan), **host},
        "samples": [asdict(each) for each in samples],
    }


def _limit(limit: Limit | None) -> dict[str, Any] | None:
    if limit is None:
        return None
    diagnosis = limit.culprit.diagnosis if limit.culprit else Diagnosis("")
    return {**asdict(limit), "diagnosis": asdict(diagnosis)}


def limit_line(limit: Limit) -> str:
    """What a search for the limit found, in a sentence."""
    end = "" if limit.complete else " (the search was ended early)"
    if not limit.levels:
        return "no level was measured"
    if not limit.broken:
        return f"at least {limit.best:,} viewers: every level held, nothing ran out{end}"
    lowest, culprit = limit.broken[0], limit.culprit
    broke = ", ".join(lowest.broken)
    if culprit is None:
        why = "nothing that can be seen from here ran out"
    else:
        why = culprit.diagnosis.resource
        if culprit is not lowest:
            why += f" (at {culprit.viewers:,})"
    if culprit is not None and culprit.diagnosis.generator:
        why = f"the relay is not to blame, what ran out: {why}"
        best = f"at least {limit.best:,}"
    else:
        best = f"{limit.best:,}"
    if not limit.best:
        return f"not even {lowest.viewers:,} viewers held: {broke}; {why}{end}"
    return f"{best} viewers; at {lowest.viewers:,} {broke}: {why}{end}"


def _conditions(result: Result, plan: Plan) -> dict[str, str]:
    relay = result.relay
    mix = {"slow": plan.mix.slow, "hidden": plan.mix.hidden, "half-open": plan.mix.half_open}
    odd = ", ".join(f"{share:.0%} {name}" for name, share in mix.items() if share)
    streams = [row for row in relay.streams if row["name"] in plan.streams]
    seen = "; ".join(
        f"{row['name']}: {row['codec']}, {row['fps']:.0f} frames/s, "
        f"{row['bitrate'] / 1e6:.1f} Mbit/s"
        for row in streams[:3]
    )
    return {
        "command": plan.command,
        "relay": f"{len(relay.workers)} workers, engine {relay.engine}, "
        + ("on this host" if plan.local else "on another host")
        if relay.answers
        else "of unknown kind: it tells nothing of its workers",
        "streams": (f"published by this test: {plan.publish}" if plan.publish else seen)
        or "unknown",
        "viewers": f"{plan.viewers:,} viewers in {plan.processes} "
        + ("processes" if plan.processes > 1 else "process")
        + (f", {odd}" if odd else "")
        + (f", {plan.churn:g} a second leave and come anew" if plan.churn else ""),
    }


def ran_out(report: dict[str, Any]) -> str:
    """What ran out, in a sentence; empty when nothing did."""
    found = report["diagnosis"]
    if not found["resource"]:
        return ""
    whose = "what ran out is not the relay's" if found["generator"] else "what ran out"
    return f"{whose}: {found['resource']}"


def paint_line(report: dict[str, Any]) -> str:
    """How long from capture to paint, in a few words; empty when no browser told."""
    values = report["paint_ms"]
    if values["50"] is None:
        return ""
    return "capture to paint: " + ", ".join(f"p{p} {value:.1f} ms" for p, value in values.items())


def browser_line(stats: dict[str, Any] | None) -> str:
    """What one browser's player said last."""
    if stats is None:
        return "said nothing"
    shown = {name: stats[name] for name in ("decoded", "dropped", "reconnects")}
    words = ", ".join(f"{value:,} {name}" for name, value in shown.items())
    causes = stats.get("skipsByCause") or {}
    skips = ", ".join(f"{count:,} by {cause}" for cause, count in causes.items() if count)
    words += f", {stats['skips']:,} skips" + (f" ({skips})" if skips else "")
    first, late = stats["firstFrameMs"], stats["latencyMs"]
    start = "no picture" if first is None else f"first picture after {first:.0f} ms"
    paint = "" if late is None else f", {late:.0f} ms to paint"
    return f"{stats['state']}, {stats['fps']:.1f} fps, {words}, {start}{paint}"


def lines(report: dict[str, Any]) -> list[str]:
    """The report of `report_json` for a person; the verdict is to follow."""
    found = []
    for name, value in report["metrics"].items():
        unit, meaning = METRICS[name]
        number = "-" if value is None else f"{value:,.1f}" if unit else f"{value:,}"
        found.append(f"  {name:10} {number:>14} {unit:2}  {meaning}")
    for kind, sums in report["kinds"].items():
        if kind != Kind.WATCHING:
            found.append(
                f"  {kind}: {sums['connected']:,} connected, {sums['frames']:,} frames, "
                f"{sums['skipped']:,} skipped, {sums['lost']:,} lost"
            )
        if sums["left"]:
            ways = ", ".join(f"{count:,} by {way}" for way, count in sums["left"].items())
            found.append(f"  left and came anew: {ways}")
    found += [f"  {count:>6} x {reason}" for reason, count in report["reasons"].items()]
    found += [f"  at {each['at']:.0f} s: {each['what']}" for each in report["events"]]
    found += [f"  at {each['at']:.1f} s: {each['words']}" for each in report["incidents"]]
    if ran_out(report) and report["limit"] is None:
        found.append(f"  {ran_out(report)}")
    if paint_line(report):
        found.append(f"  browsers, {paint_line(report)}")
    found += [f"  browser {n}: {browser_line(each)}" for n, each in enumerate(report["browsers"])]
    if report["limit"] is not None:
        found += _levels(report["limit"]["levels"])
    return [f"{report['url']}, {report['viewers']:,} viewers", *found]


def _levels(levels: Sequence[dict[str, Any]]) -> list[str]:
    rows = []
    for level in levels:
        p99 = level["values"]["p99"]
        rows.append(
            f"  {level['viewers']:>7,} viewers  {level['fps']:>9,.0f} frames/s  "
            f"p99 {'-' if p99 is None else f'{p99:,.1f} ms':>10}  relay {level['relay_cpu']:.2f} "
            f"generator {level['generator_cpu']:.2f} CPU  {', '.join(level['broken']) or 'held'}"
        )
    return rows
