"""``relay-reload``: let a running relay read its configuration again and replace its workers."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence

from bus.errors import BusError, SegmentMissing
from bus.names import resolve_instance
from relay.errors import RelayError
from relay.one_line_parser import OneLineParser
from relay.system import request_reload
from workers.table import WorkerTable

__all__ = ["main"]

_EXAMPLES = """\
Viewers are told to come back one worker at a time, and nobody is refused meanwhile. What came
of it is in the relay's log. Where there are signals, SIGHUP to the supervisor does the same.

Examples:
  relay-reload
  relay-reload --instance lab
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: command line without the program's name; the process's own by default.

    Returns:
        0 when the relay was asked; 1 when it cannot be, 2 for bad input.
    """
    parser = OneLineParser(
        prog="relay-reload",
        description="Let a relay of this host read its configuration again.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--instance", metavar="NAME", help="which relay (default: $RELAY_INSTANCE or 'default')"
    )
    options = parser.parse_args(argv)
    try:
        instance = resolve_instance(options.instance)
    except BusError as exc:
        return _fail(str(exc), 2)
    nobody = f"no relay runs instance {instance!r}; name another with --instance"
    try:
        with contextlib.closing(WorkerTable.attach(instance)) as table:
            if not table.supervisor_alive():
                return _fail(nobody, 1)
            request_reload(instance, table.supervisor_pid)
    except SegmentMissing:
        return _fail(nobody, 1)
    except OSError as exc:
        return _fail(f"the relay of instance {instance!r} cannot be asked: {exc.strerror}", 1)
    except (BusError, RelayError) as exc:
        return _fail(str(exc), 1)
    return 0


def _fail(message: str, code: int) -> int:
    print(f"relay-reload: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
