"""The supervisor's settings, each defined once, as those of workers are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from bus.names import DEFAULT_INSTANCE, check_instance
from relay.logs import FORMATS
from relay.system import WAIT_LIMIT
from workers.settings import option

__all__ = ["MAX_WORKERS", "ServerSettings", "SupervisionSettings"]

MAX_WORKERS: Final = min(48, (WAIT_LIMIT - 4) // 2 - 1)
"""A stream's reader table has 64 slots: all workers, one more while they are rolled, and
room for the programs of this host. The supervisor waits for two things of each worker, and
for four of its own."""


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_host(host: str) -> None:
    if not host:
        raise ValueError("must name an address; 0.0.0.0 or :: stand for all of them")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What is served, and where."""

    host: str = option("127.0.0.1", "address to listen on", check=_check_host)
    port: int = option(8765, "TCP port; 0 picks a free one", minimum=0, maximum=65535)
    workers: int = option(
        min(_processors(), MAX_WORKERS),
        "worker processes (default: one for each processor)",
        minimum=1,
        maximum=MAX_WORKERS,
    )
    instance: str = option(
        DEFAULT_INSTANCE, "name that same-host programs find the relay by", check=check_instance
    )
    engine: str = option(
        "auto", "how frames are sent to viewers", choices=("auto", "uring", "asyncio")
    )
    tls_cert: str = option(
        "", "file with the TLS certificate, then the intermediate ones: serve https and wss"
    )
    tls_key: str = option("", "file with its key, when that is not in the same file")
    demo: bool = option(False, "also publish a test pattern as stream 'demo'")
    log_format: str = option("text", "how log lines are written", choices=FORMATS)
    log_level: str = option(
        "info", "least severe messages to log", choices=("debug", "info", "warning", "error")
    )


@dataclass(frozen=True, slots=True)
class SupervisionSettings:
    """How workers are kept alive."""

    hang_timeout: float = option(
        5.0, "seconds without a heartbeat after which a worker is killed", minimum=1.0
    )
    start_timeout: float = option(30.0, "seconds in which a new worker must be ready", minimum=1.0)
    restart_backoff: float = option(
        0.25, "seconds before the first restart of a worker that did not start", minimum=0.0
    )
    restart_backoff_max: float = option(10.0, "seconds that a restart waits at most", minimum=0.1)
    crash_limit: int = option(
        5, "failed starts of one worker in a row after which the relay gives up", minimum=1
    )
    memory_limit: int = option(
        0, "MiB of a worker's own memory above which it is replaced; 0: no limit", minimum=0
    )
