"""The command line of `relay-load`, read and checked."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from relay.load.mix import Mix
from relay.load.plan import Plan
from relay.load.streams import parse_streams
from relay.load.target import parse_target
from relay.load.thresholds import METRICS, parse_thresholds
from relay.one_line_parser import OneLineParser
from relay.publish.options import parse_seconds, read_token

__all__ = ["make_parser", "make_plan"]

_FAIL_IF: Final = "frames<1,refused>0,lost>0,freeze>0,invalid>0"
_LIMIT_IF: Final = "p99>100ms,skipped>1%,frames<1,refused>0,lost>0,freeze>0,invalid>0"
_DURATION: Final = 30.0
_LEVEL_DURATION: Final = 5.0
_MAX_VIEWERS: Final = 100_000
_MAX_PROCESSES: Final = 64
_MAX_BROWSERS: Final = 200
_MAX_CHURN: Final = 10_000.0
_METRICS: Final = "\n".join(
    f"  {name:10} {meaning}" + (f", {unit}" if unit else "")
    for name, (unit, meaning) in METRICS.items()
)
_EXAMPLES: Final = f"""\
Examples:
  relay-load ws://127.0.0.1:8765/view/demo --viewers 500 --duration 30
  relay-load ws://127.0.0.1:8765/view/test --publish test@30fps,16KiB --viewers 500
  relay-load ws://127.0.0.1:8765/view/demo --viewers 200 --browsers 4 --html report.html
  relay-load wss://relay.example/view/cam0 --viewers 2000 --ramp 10 --token-file t
  relay-load ws://127.0.0.1:8765/view/demo --viewers 300 --churn 20/s --slow 5%
  relay-load ws://127.0.0.1:8765/view/demo --fail-if "p99>100ms,freeze>0" --json r.json
  relay-load ws://127.0.0.1:8765/view/test --publish test --find-limit

Thresholds compare a metric with a number by >, >=, < or <=. Metrics:
{_METRICS}
Latency, freezes and skips are those of viewers that take all they are sent, not of slow ones
or hidden ones. A frame that was never sent has no latency: look at skipped and outage, too.

The exit status is 0 when no threshold is broken, 1 when one is, 2 for bad input."""

T = TypeVar("T")


def make_plan(args: argparse.Namespace, argv: Sequence[str], *, local: bool) -> Plan:
    """What the user asked for.

    Args:
        args: read by `make_parser`'s parser.
        argv: the same, as it was written.
        local: whether the relay runs on this host.

    Raises:
        ValueError: when parts of it do not fit together.
    """
    target = parse_target(args.url)
    token = read_token(args.token, args.token_file, os.environ.get("RELAY_TOKEN"))
    odd = args.slow + args.hidden + args.half_open
    if odd > 1:
        raise ValueError("--slow, --hidden and --half-open are more than 100% together")
    most = args.max_viewers or _MAX_VIEWERS
    if args.find_limit and args.viewers > most:
        raise ValueError("--viewers, where the search begins, is above --max-viewers")
    if args.max_viewers and not args.find_limit:
        raise ValueError("--max-viewers is for --find-limit")
    default = _LIMIT_IF if args.find_limit else _FAIL_IF
    duration = _LEVEL_DURATION if args.find_limit else _DURATION
    return Plan(
        target=target,
        token=token or target.token,
        viewers=args.viewers,
        most=most if args.find_limit else 0,
        processes=min(args.processes, most if args.find_limit else args.viewers),
        duration=args.duration or duration,
        ramp=args.ramp,
        mix=Mix(args.slow, args.hidden, args.half_open),
        churn=args.churn,
        publish=args.publish,
        browsers=args.browsers,
        chromium=args.chromium or "",
        fail_if=args.fail_if or parse_thresholds(default),
        local=local,
        command=_without_secrets(argv, args.url, target.shown),
    )


def _without_secrets(argv: Sequence[str], url: str, shown: str) -> str:
    words = [shown if word == url else word for word in argv]
    for index, word in enumerate(words):
        if word == "--token" and index + 1 < len(words):
            words[index + 1] = "***"
        elif word.startswith("--token="):
            words[index] = "--token=***"
    return shlex.join(["relay-load", *words])


def make_parser() -> OneLineParser:
    """The command line."""
    parser = OneLineParser(
        prog="relay-load",
        description="Test a relay with many viewers, and tell what they saw.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("url", metavar="URL", help="what is viewed: ws://host:port/view/stream, or wss://")
    _add_load(parser)
    _add_mix(parser)
    add(
        "--publish",
        type=_checked(parse_streams),
        metavar="STREAMS",
        help="publish test streams whose frames carry a checksum, as demo@30fps,16KiB*10: ten "
        "of them, demo1 to demo10; viewers of /view/demo spread over all (default: "
        "30fps,16KiB, one stream)",
    )
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--token", help="others on this host can see it: prefer the next")
    secret.add_argument(
        "--token-file", metavar="FILE", help="file with the token; or set $RELAY_TOKEN"
    )
    add(
        "--fail-if",
        type=_checked(parse_thresholds),
        metavar="THRESHOLDS",
        help=f"when the test has failed (default: {_FAIL_IF})",
    )
    add(
        "--find-limit",
        action="store_true",
        help="raise the load, from --viewers on, until a threshold breaks; tell the highest "
        f"level that held and what ran out (default thresholds: {_LIMIT_IF.replace('%', '%%')})",
    )
    add(
        "--max-viewers",
        type=_checked(lambda text: _count(text, _MAX_VIEWERS)),
        metavar="N",
        help="highest level that --find-limit tries",
    )
    add("--json", type=Path, metavar="FILE", help="write everything that was found")
    add("--html", type=Path, metavar="FILE", help="write a report for browsers, in one file")
    return parser


def _add_load(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
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
        metavar="SECONDS",
        help=f"length of the test, arrival included (default: {_DURATION:g}); with --find-limit "
        f"of each measurement (default: {_LEVEL_DURATION:g})",
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


def _add_mix(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    for name, meaning in (
        ("slow", "viewers that take no more than 1 Mbit/s"),
        ("hidden", "viewers in tabs that are hidden for 5 s, seen for 5 s, and so on"),
        ("half-open", "viewers that stop amid the handshake, or never read after it"),
    ):
        add(
            f"--{name}",
            type=_checked(_share),
            default=0.0,
            metavar="P%",
            help=f"share of {meaning} (default: 0%%)",
        )
    add(
        "--churn",
        type=_checked(_rate),
        default=0.0,
        metavar="N/s",
        help="viewers that leave in a second and come anew: by Close, by reset with and without "
        "Close, amid the handshake, or falling silent (default: 0/s)",
    )


def _checked(parse_value: Callable[[str], T]) -> Callable[[str], T]:
    """Let argparse show the sentence of a ValueError instead of its own."""

    def check(text: str) -> T:
        try:
            return parse_value(text)
        except ValueError as exc:
            raise argparse.ArgumentTypeError(str(exc)) from None

    return check


def _count(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= most:
        raise ValueError(f"{text!r} is not a number from 1 to {most}")
    return int(text)


def _share(text: str) -> float:
    number = _number(text.removesuffix("%"))
    if not text.endswith("%") or not 0 <= number <= 100:
        raise ValueError(f"{text!r} is not a share; write it as 5%")
    return number / 100


def _rate(text: str) -> float:
    number = _number(text.removesuffix("/s"))
    if not 0 <= number <= _MAX_CHURN:
        raise ValueError(f"{text!r} is not a rate of at most {_MAX_CHURN:g}/s; write it as 20/s")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0
