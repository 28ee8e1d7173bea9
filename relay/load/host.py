"""What this host knows of the relay's processes, when they run on it, and of itself."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import platform
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import psutil

__all__ = ["RelayProcesses", "conditions", "is_this_host", "network_gbps"]

_GIB: Final = 1 << 30


def is_this_host(host: str) -> bool:
    """Whether a name or address is this host's; looks it up.

    Raises:
        OSError: when nobody knows it.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = {str(entry[4][0]).partition("%")[0] for entry in found}
    if any(ipaddress.ip_address(each).is_loopback for each in addresses):
        return True
    own = {each.address for cards in psutil.net_if_addrs().values() for each in cards}
    return not own.isdisjoint(addresses)


class RelayProcesses:
    """Measures workers by their pids: sharper than what the relay says of itself.

    Pids of another host or container that happen to exist here are not taken for the relay's:
    its workers are children of one process.
    """

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}
        self._before: dict[int, tuple[float, float]] = {}

    def measure(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of ``/api/workers`` with ``cpu`` and ``rss`` as measured here."""
        with contextlib.suppress(psutil.Error):
            found = [{**row, **self._look(row["pid"])} for row in rows]
            parents = {self._known[row["pid"]].ppid() for row in rows}
            if len(parents) == 1:
                return found
        return list(rows)

    def _look(self, pid: int) -> dict[str, Any]:
        process = self._known.get(pid)
        if process is None:
            process = self._known[pid] = psutil.Process(pid)
        times, now = process.cpu_times(), time.monotonic()
        used = times.user + times.system
        before = self._before.get(pid)
        self._before[pid] = now, used
        found: dict[str, Any] = {"rss": process.memory_info().rss}
        if before is not None and now > before[0]:
            found["cpu"] = (used - before[1]) / (now - before[0])
        return found


def network_gbps() -> float:
    """Speed of this host's fastest network card, Gbit/s; 0 when none tells."""
    cards = psutil.net_if_stats()
    return max((card.speed for card in cards.values() if card.isup), default=0) / 1000


def conditions() -> dict[str, str]:
    """Of this host, for a report."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "generator": f"{platform.system()} {platform.release()}, {platform.machine()}, "
        f"Python {platform.python_version()}",
        "processors": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{psutil.virtual_memory().total / _GIB:.1f} GiB",
        "busy before": f"{psutil.cpu_percent(0.2):.0f}% of the processors, by others",
    }


def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
