"""Measure the relay beside its peers::

    python -m tests.bench                                  # everything; takes hours
    python -m tests.bench 500x16k storm --rounds 3
    python -m tests.bench 500x16k --only relay_uring floor_send picows_server --workers 1 2

Appends one JSON object a run to a file, from which `tests.bench.report` makes the table and
the plot. Rounds are interleaved, since a machine drifts more than most differences.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from tests.bench.compiling import BUILD, MissingError
from tests.bench.conditions import conditions
from tests.bench.contestants import Contestant, all_peers, contestant
from tests.bench.load import FailedError, client
from tests.bench.scenarios import SCENARIOS

__all__ = ["main"]


def main() -> int:
    """Run what is asked for."""
    wanted = _arguments()
    try:
        client()
    except MissingError as exc:
        print(f"bench: error: {exc}", file=sys.stderr)
        return 1
    present = _present(wanted.only)
    wanted.json.parent.mkdir(parents=True, exist_ok=True)
    with wanted.json.open("a", encoding="utf-8") as file:
        for number in range(wanted.rounds):
            for scenario in wanted.scenarios or SCENARIOS:
                for workers in wanted.workers:
                    for who in present:
                        row = _run(scenario, who, workers, wanted.seconds)
                        print(_line(row), flush=True)
                        row |= {"round": number, "conditions": conditions()}
                        print(json.dumps(row), file=file, flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    assert __doc__ is not None
    head, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        "python -m tests.bench",
        description=head,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    keys = [path.stem for path in all_peers()]
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all"
    )
    parser.add_argument("--only", nargs="+", choices=keys, metavar="PEER", help=", ".join(keys))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="of each measurement")
    parser.add_argument("--json", type=Path, default=BUILD / "rows.jsonl", help="file of results")
    wanted = parser.parse_args()
    if unknown := [name for name in wanted.scenarios if name not in SCENARIOS]:
        parser.error(f"no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    return wanted


def _present(only: list[str] | None) -> list[Contestant]:
    found = []
    for path in all_peers():
        if only is None or path.stem in only:
            try:
                found.append(contestant(path))
            except MissingError as exc:
                print(f"missing: {path.stem}: {exc}", flush=True)
    return found


def _run(scenario: str, who: Contestant, workers: int, seconds: float) -> dict[str, object]:
    row: dict[str, object] = {
        "scenario": scenario,
        "contestant": who.key,
        "name": who.name,
        "version": who.version,
        "group": who.group,
        "workers": workers,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    try:
        figures = SCENARIOS[scenario].run(who, workers, seconds)
    except (FailedError, MissingError) as exc:
        return row | {"failed": str(exc)}
    return row | {"figures": figures}


def _line(row: dict[str, object]) -> str:
    head = f"{row['scenario']:10} {row['name']:24} *{row['workers']}"
    figures = row.get("figures")
    if not isinstance(figures, dict):
        return f"{head}  failed: {row['failed']}"
    return head + "".join(f"  {name} {value:.4g}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
