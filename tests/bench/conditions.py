"""Under what conditions a figure was measured."""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from pathlib import Path

__all__ = ["conditions"]


@cache
def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else platform.machine()


def conditions() -> dict[str, object]:
    """Of this machine, now."""
    return {
        "kernel": platform.release(),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }
