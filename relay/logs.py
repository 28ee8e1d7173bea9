"""Log lines on standard error, each with the process that wrote it."""

from __future__ import annotations

import logging
import sys

__all__ = ["configure"]


def configure(level: str, process: str) -> None:
    """Send all log messages of this process to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        process: what lines of this process are marked with, for example ``worker-2``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter(
            f"%(asctime)s.%(msecs)03d %(levelname)-7s {process}[%(process)d] %(message)s",
            datefmt="%Y-%m-%d %H:%M:%S",
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The loop's own remarks (slow callbacks, selectors) are for its developers.
    logging.getLogger("asyncio").setLevel(logging.WARNING)
