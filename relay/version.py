"""Which version of the relay this is."""

from __future__ import annotations

from functools import cache
from importlib import metadata

__all__ = ["relay_version"]


@cache
def relay_version() -> str:
    """The installed version, or ``0+source`` when run from a checkout."""
    try:
        return metadata.version("live-frame-relay")
    except metadata.PackageNotFoundError:
        return "0+source"
