"""``relay-load``: reads the command line, runs a load test, prints and writes its report."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from relay.load.counts import Counts
from relay.load.report import lines, metrics, report_json
from relay.load.run import run
from relay.load.samples import Sample
from relay.load.target import parse_target
from relay.load.thresholds import METRICS, parse_thresholds
from relay.one_line_parser import OneLineParser
from relay.publish.options import parse_seconds, read_token

__all__ = ["main"]

_DEFAULT_FAIL_IF = "frames<1,refused>0,lost>0,freeze>0,invalid>0"
_MAX_VIEWERS = 100_000
_MAX_PROCESSES = 64
_MAX_BROWSERS = 200
_METRICS = "\n".join(
    f"  {name:10} {meaning}" + (f", {unit}" if unit else "")
    for name, (unit, meaning) in METRICS.items()
)
_EXAMPLES = f"""\
examples:
  relay-load ws://127.0.0.1:8765/view/demo --viewers 500 --duration 30
  relay-load ws://127.0.0.1:8765/view/demo --viewers 200 --browsers 4
  relay-load wss://relay.example/view/cam0 --viewers 2000 --ramp 10 --token-file t
  relay-load ws://127.0.0.1:8765/view/demo --fail-if "p99>100ms,freeze>0" --html report.html

Thresholds compare a metric with a number by >, >=, < or <=. Metrics:
{_METRICS}

The exit status is 0 when no threshold is broken, 1 when one is, 2 for bad input."""

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    try:
        target = parse_target(args.url)
        token = read_token(args.token, args.token_file, os.environ.get("RELAY_TOKEN"))
        for flag, path in (("--json", args.json), ("--html", args.html)):
            if path is not None and not path.parent.is_dir():
                raise ValueError(f"{flag}: there is no folder {str(path.parent)!r}")
        chromium = _chromium(args.chromium) if args.browsers else ""
        render = _renderer() if args.html is not None else None
    except ValueError as exc:
        parser.error(str(exc))
    processes = min(args.processes, args.viewers)
    result = run(
        target,
        token or target.token,
        viewers=args.viewers,
        processes=processes,
        duration=args.duration,
        ramp=args.ramp,
        browsers=args.browsers,
        chromium=chromium,
        show=_show,
    )
    values = metrics(result)
    broken = [each for each in args.fail_if if each.broken_by(values)]
    report = report_json(result, target.shown, processes, broken)
    print("\n".join(lines(report)))
    try:
        if args.json is not None:
            args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        if render is not None:
            args.html.write_text(render(report), encoding="utf-8")
    except OSError as exc:
        print(f"relay-load: error: cannot write the report: {exc}", file=sys.stderr)
        return 1
    return 1 if broken else 0


def _chromium(chosen: str | None) -> str:
    try:
        from relay.load.browsers import find_chromium
    except ImportError as exc:
        raise ValueError(_missing("--browsers", exc)) from None
    return find_chromium(chosen)


def _missing(flag: str, exc: ImportError) -> str:
    return f"{flag}: {exc.name} is not installed; run: pip install 'live-frame-relay[load]'"


def _renderer() -> Callable[[dict[str, Any]], str]:
    """What makes the HTML report; looked for before the test, not after it."""
    try:
        from relay.load.html import report_html
    except ImportError as exc:
        raise ValueError(_missing("--html", exc)) from None
    return report_html


def _show(sample: Sample, counts: Counts) -> None:
    p99 = "-" if sample.p99 is None else f"{sample.p99:.1f}"
    spread = "/".join(str(row["viewers"]) for row in sample.workers) or "-"
    print(
        f"{sample.at:5.0f} s  {sample.connected} viewers (workers {spread})  "
        f"{sample.fps:,.0f} frames/s  {sample.gbps:.2f} Gbit/s  p99 {p99} ms  "
        f"frozen {sample.frozen}  refused {counts.refused}  lost {counts.lost}",
        flush=True,
    )


def _make_parser() -> OneLineParser:
    parser = OneLineParser(
        prog="relay-load",
        description="Test a relay with many viewers, and tell what they saw.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("url", metavar="URL", help="what is viewed: ws://host:port/view/stream, or wss://")
    add(
        "--viewers",
        type=_checked(lambda text: _count(text, _MAX_VIEWERS)),
        default=100,
        metavar="N",
        help="synthetic viewers (default: 100)",
    )
    add(
        "--browsers",
        type=_checked(lambda text: 0 if text == "0" else _count(text, _MAX_BROWSERS)),
        default=0,
        metavar="N",
        help="pages with the real player in headless Chromium, beside the viewers (default: 0)",
    )
    add("--chromium", metavar="PROGRAM", help="which Chromium; or set $RELAY_CHROMIUM")
    add(
        "--duration",
        type=_checked(parse_seconds),
        default=30.0,
        metavar="SECONDS",
        help="length of the test, arrival included (default: 30)",
    )
    add(
        "--ramp",
        type=_checked(parse_seconds),
        default=1.0,
        metavar="SECONDS",
        help="time over which viewers arrive (default: 1)",
    )
    add(
        "--processes",
        type=_checked(lambda text: _count(text, _MAX_PROCESSES)),
        default=min(os.cpu_count() or 1, _MAX_PROCESSES),
        metavar="N",
        help="processes that the viewers live in (default: one for each processor)",
    )
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--token", help="others on this host can see it: prefer the next")
    secret.add_argument(
        "--token-file", metavar="FILE", help="file with the token; or set $RELAY_TOKEN"
    )
    add(
        "--fail-if",
        type=_checked(parse_thresholds),
        default=parse_thresholds(_DEFAULT_FAIL_IF),
        metavar="THRESHOLDS",
        help=f"when the test has failed (default: {_DEFAULT_FAIL_IF})",
    )
    add("--json", type=Path, metavar="FILE", help="write everything that was found")
    add("--html", type=Path, metavar="FILE", help="write a report for browsers, in one file")
    return parser


def _checked(parse_value: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse show the sentence of a ValueError instead of its own."""

    def check(text: str) -> T:
        try:
            return parse_value(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None

    return check


def _count(text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ValueError(f"{text!r} is not a number from 1 to {most}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
