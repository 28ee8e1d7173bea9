"""What peers written in Python have in common: the command line that contestants.py calls."""

from __future__ import annotations

import importlib.metadata
import json
import resource
import sys
from collections.abc import Callable

__all__ = ["run", "version"]


def version(*packages: str) -> str:
    """Versions of installed packages in one line."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)


def run(serve: Callable[[int], object], **about: str) -> None:
    """Tell of this peer (``--about``) or serve (``PORT WORKERS``).

    Args:
        serve: listens on a port of 127.0.0.1 until killed.
        **about: what contestants.py wants to know: ``name``, ``version`` and, where the default
            does not hold, ``workers``, ``feed``, ``group``.
    """
    if sys.argv[1:] == ["--about"]:
        print(json.dumps(about))
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    serve(int(sys.argv[1]))
