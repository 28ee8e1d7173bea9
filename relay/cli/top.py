"""``relay-top``: a live view of workers, streams and viewers, read from shared memory."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence

from rich.console import Console, Group

from bus.directory import list_streams
from bus.errors import BusError, SegmentMissing
from bus.names import resolve_instance
from relay.auth import AuthSettings, build_admin_authorizer
from relay.errors import AuthError
from relay.one_line_parser import OneLineParser
from relay.top.client import AdminClient
from relay.top.sheets import (
    Rates,
    Sheets,
    as_table,
    streams_sheet,
    viewers_sheet,
    workers_sheet,
)
from relay.viewers import all_viewers
from workers.table import WorkerTable

__all__ = ["look", "main"]

WIDE = 160
_TOKEN_VARIABLE = "RELAY_ADMIN_TOKEN"
_EXAMPLES = """\
Keys: Tab goes to the next table; s sorts it by its next column, o turns the order round,
/ shows only lines with some words; k kicks the viewer, x stops the stream, d drains and
r replaces the worker under the cursor, each after a question; q quits. What acts needs the
relay's admin token, from a file or from RELAY_ADMIN_TOKEN.

Examples:
  relay-top
  relay-top --instance lab --admin-token-file admin.token
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
    parser.add_argument(
        "--instance", metavar="NAME", help="which relay (default: $RELAY_INSTANCE or 'default')"
    )
    parser.add_argument("--admin-token-file", metavar="FILE", help="the relay's admin token")
    parser.add_argument("--once", action="store_true", help="print it once instead of live")
    options = parser.parse_args(argv)
    try:
        instance = resolve_instance(options.instance)
        token = _token(options.admin_token_file, os.environ)
    except (BusError, AuthError) as exc:
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
            sheets = look(instance, table, Rates())
            console.print(Group(*map(as_table, sheets)), width=width)
            return 0
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return _fail("this is no terminal; use --once", 2)
        return _watch(instance, table, token)
    finally:
        table.close()


def _token(file: str | None, env: Mapping[str, str]) -> str:
    settings = AuthSettings(
        admin_token="" if file else env.get(_TOKEN_VARIABLE, ""), admin_token_file=file or ""
    )
    secrets = build_admin_authorizer(settings).secrets
    return secrets[0].decode("ascii") if secrets else ""


def _watch(instance: str, table: WorkerTable, token: str) -> int:
    # A terminal's own library takes its time, and is not for printing once.
    from relay.top.screen import TopScreen

    rates = Rates()

    def now() -> Sheets | None:
        return look(instance, table, rates) if table.supervisor_alive() else None

    why = TopScreen(now, AdminClient(table.url, token)).run()
    return _fail(f"{why} (instance {instance!r})", 1) if why else 0


def look(instance: str, table: WorkerTable, rates: Rates) -> Sheets:
    """What is to be shown of a relay now."""
    rows = table.rows()
    rates.update(rows, time.monotonic())
    return (
        workers_sheet(instance, table.supervisor_pid, rows, rates),
        streams_sheet(list_streams(instance)),
        viewers_sheet(all_viewers(instance, table), time.time()),
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
