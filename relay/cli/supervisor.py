"""``relay-supervisor``: serve streams from several worker processes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence

from bus.errors import BusError
from relay.config import Config, load
from relay.errors import ConfigError, RelayError, WorkersFailed
from relay.launch import worker_main
from relay.serve import serve
from relay.worker_process import Target

__all__ = ["main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: command line without the program's name; the process's own by default.

    Returns:
        0 after an orderly stop, 2 for bad input, 3 when workers cannot start for a reason
        that a restart does not mend, else 1.
    """
    read = functools.partial(load, sys.argv[1:] if argv is None else argv, dict(os.environ))
    return run(read, worker_main)


def run(read: Callable[[], Config], target: Target) -> int:
    """Serve, and turn errors into a line and an exit code.

    Args:
        read: reads the configuration, at the start and at each reload.
        target: what runs in each worker's process.
    """
    try:
        serve(read(), read, target)
    except WorkersFailed as exc:
        return _fail(exc, exc.exit_code)
    except ConfigError as exc:
        return _fail(exc, 2)
    except (RelayError, BusError) as exc:
        return _fail(exc, 1)
    except OSError as exc:
        # This machine or this user ran out of something, such as open files.
        return _fail(exc, 1)
    return 0


def _fail(error: Exception, code: int) -> int:
    print(f"relay-supervisor: error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
