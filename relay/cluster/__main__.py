"""The bridge's process, which a supervisor starts with ``--cluster``.

Its options are the supervisor's own; nothing here is meant to be typed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence

import nats.errors

from bus.errors import BusError
from relay import logs
from relay.cluster.bridge import Bridge
from relay.cluster.settings import ClusterSettings
from relay.errors import RelayError
from relay.options import options_of
from relay.parent import exit_with_parent
from relay.system import STOP_SIGNALS

__all__ = ["main"]

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bridge until SIGTERM or the supervisor's end.

    Returns:
        0 after an orderly stop, else 1.
    """
    options = options_of("cluster", ClusterSettings)
    parser = argparse.ArgumentParser(prog="relay-bridge", allow_abbrev=False)
    for name in ("--instance", "--log-level", "--log-format"):
        parser.add_argument(name, required=True)
    parser.add_argument("--capacity", type=int, required=True)
    for option in options:
        parser.add_argument(option.flag, default=option.default, type=option.type)
    given = parser.parse_args(argv)
    logs.configure(given.log_level, "bridge", given.log_format, limited=True)
    settings = ClusterSettings(**{each.name: getattr(given, each.name) for each in options})
    try:
        asyncio.run(_run(given.instance, settings, given.capacity))
    except (RelayError, BusError, OSError, nats.errors.Error) as exc:
        log.error("%s", exc)
        return 1
    return 0


async def _run(instance: str, settings: ClusterSettings, capacity: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def call() -> None:
        loop.call_soon_threadsafe(stop.set)

    # Ctrl-C reaches a terminal's whole group and is the supervisor's to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in STOP_SIGNALS - {signal.SIGINT}:
        signal.signal(number, lambda *_: call())
    exit_with_parent(call)
    await Bridge(instance, settings, capacity).run(stop)


if __name__ == "__main__":
    sys.exit(main())
