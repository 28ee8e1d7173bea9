"""``relay-top``: a live view of workers, streams and viewers, read from shared memory."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live

from bus.directory import list_streams
from bus.errors import BusError, SegmentMissing
from bus.names import resolve_instance
from relay.one_line_parser import OneLineParser
from relay.top_view import Rates, streams_table, workers_table
from workers.table import WorkerTable

__all__ = ["main"]

REFRESH = 1.0
WIDE = 160
_EXAMPLES = """\
Examples:
  relay-top
  relay-top --instance lab
  relay-top --once
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: command line without the program's name; the process's own by default.

    Returns:
        0; 1 when nobody runs the instance, 2 for bad input.
    """
    parser = OneLineParser(
        prog="relay-top",
        description="Show the workers, streams and viewers of a relay on this host.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--instance", help="which relay (default: $RELAY_INSTANCE or 'default')")
    parser.add_argument("--once", action="store_true", help="print it once instead of live")
    options = parser.parse_args(argv)
    try:
        instance = resolve_instance(options.instance)
    except BusError as exc:
        return _fail(str(exc), 2)
    try:
        table = WorkerTable.attach(instance)
    except SegmentMissing:
        return _fail(_nobody(instance), 1)
    except BusError as exc:
        return _fail(str(exc), 1)
    try:
        if not table.supervisor_alive():
            return _fail(_nobody(instance), 1)
        if options.once:
            console = Console()
            # A pipe has no width; lines must not be cut for it.
            width = None if console.is_terminal else WIDE
            console.print(_view(instance, table, Rates()), width=width)
            return 0
        return _watch(instance, table)
    finally:
        table.close()


def _watch(instance: str, table: WorkerTable) -> int:
    rates = Rates()
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(_view(instance, table, rates), auto_refresh=False) as live,
    ):
        while table.supervisor_alive():
            time.sleep(REFRESH)
            live.update(_view(instance, table, rates), refresh=True)
        return _fail(f"the relay of instance {instance!r} has stopped", 1)
    return 0


def _view(instance: str, table: WorkerTable, rates: Rates) -> Group:
    rows = table.rows()
    rates.update(rows, time.monotonic())
    return Group(
        workers_table(instance, table.supervisor_pid, rows, rates),
        streams_table(list_streams(instance)),
    )


def _nobody(instance: str) -> str:
    return (
        f"no relay runs instance {instance!r}; start one with relay-supervisor, "
        "or name another with --instance"
    )


def _fail(message: str, code: int) -> int:
    print(f"relay-top: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
