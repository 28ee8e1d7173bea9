"""``relay-load``: reads the command line, runs a load test, prints and writes its report."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from relay.load.host import conditions, is_this_host, network_gbps
from relay.load.options import make_parser, make_plan
from relay.load.progress import progress
from relay.load.report import lines, report_json
from relay.load.run import CannotStart, run
from relay.load.scripts import find_limit, hold
from relay.load.target import parse_target

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = make_parser()
    words = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(words)
    try:
        local = _is_local(parse_target(args.url).host)
        plan = make_plan(args, words, local=local)
        for flag, path in (("--json", args.json), ("--html", args.html)):
            if path is not None and path.is_dir():
                raise ValueError(f"{flag}: {str(path)!r} is a folder; give a file")
            if path is not None and not path.parent.is_dir():
                raise ValueError(f"{flag}: there is no folder {str(path.parent)!r}")
        if plan.browsers:
            plan = dataclasses.replace(plan, chromium=_chromium(args.chromium))
            if plan.publish is not None:
                _need_encoder()
        render = _renderer() if args.html is not None else None
    except ValueError as exc:
        parser.error(str(exc))
    host, console = conditions(), Console()
    try:
        with progress(console) as show:
            result = run(plan, find_limit if plan.most else hold, show)
    except CannotStart as exc:
        print(f"relay-load: error: {exc}", file=sys.stderr)
        return 1
    report = report_json(result, plan, host, network_gbps())
    print("\n".join(lines(report)))
    style = "bold green" if report["passed"] else "bold red"
    console.print(report["verdict"], style=style, highlight=False, markup=False, soft_wrap=True)
    try:
        if args.json is not None:
            args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        if render is not None:
            args.html.write_text(render(report), encoding="utf-8")
    except OSError as exc:
        print(f"relay-load: error: cannot write the report: {exc}", file=sys.stderr)
        return 1
    return 0 if report["passed"] else 1


def _is_local(host: str) -> bool:
    try:
        return is_this_host(host)
    except OSError:
        raise ValueError(f"the host {host!r} is not known; check the URL") from None


def _chromium(chosen: str | None) -> str:
    try:
        from relay.load.browsers import find_chromium
    except ImportError as exc:
        raise ValueError(_missing("--browsers", exc, "load")) from None
    return find_chromium(chosen)


def _need_encoder() -> None:
    """Browsers want pictures; looked for before the test, not in it."""
    try:
        import relay.publish.sources.encoder  # noqa: F401
    except ImportError as exc:
        raise ValueError(_missing("--publish with --browsers", exc, "publish")) from None


def _renderer() -> Callable[[dict[str, Any]], str]:
    """What makes the HTML report; looked for before the test, not after it."""
    try:
        from relay.load.html import report_html
    except ImportError as exc:
        raise ValueError(_missing("--html", exc, "load")) from None
    return report_html


def _missing(flag: str, exc: ImportError, extra: str) -> str:
    return f"{flag}: {exc.name} is not installed; run: pip install 'live-frame-relay[{extra}]'"


if __name__ == "__main__":
    sys.exit(main())
