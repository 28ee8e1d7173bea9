"""Removing what dead processes left in shared memory.

A segment whose locks nobody holds, and a doorbell that nobody has open, belong to the
dead. Everything else is left alone, so this is safe to run at any time::

    python -m bus.reclaim [INSTANCE]
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys

from bus.directory import Directory
from bus.errors import BusError, SegmentInvalid
from bus.layout import State
from bus.names import directory_object, instance_prefix, resolve_instance, stream_of
from bus.segment import list_objects, remove_dead
from bus.stream import StreamSegment

__all__ = ["reclaim"]


def reclaim(instance: str | None = None) -> list[str]:
    """Remove the instance's objects that belong to nobody alive.

    Returns:
        Names of the removed objects.

    Raises:
        InvalidName: bad instance name.
        SegmentInvalid: live processes of another version run the instance.
    """
    name = resolve_instance(instance)
    removed: list[str] = []
    directory = _open_directory(name, removed)
    try:
        with directory.exclusive():
            for found in list_objects(instance_prefix(name)):
                if found == directory_object(name):
                    continue
                stream = stream_of(name, found)
                if remove_dead(found, functools.partial(_retire, name, stream)):
                    removed.append(found)
        if removed:
            directory.announce()
        directory.remove_if_unused()
    finally:
        directory.close()
    return removed


def _open_directory(instance: str, removed: list[str]) -> Directory:
    try:
        return Directory(instance)
    except SegmentInvalid:
        name = directory_object(instance)
        if not remove_dead(name):
            raise
        removed.append(name)
        return Directory(instance)


def _retire(instance: str, stream: str | None) -> None:
    """Tell a reader that attaches at this moment to look the stream up again."""
    if stream is None:
        return
    with (
        contextlib.suppress(BusError),
        contextlib.closing(StreamSegment.attach(instance, stream)) as segment,
    ):
        segment.state = State.REPLACED


def main(argv: list[str]) -> int:
    """Command line: reclaim one instance and say what went."""
    parser = argparse.ArgumentParser(
        prog="python -m bus.reclaim",
        description="Remove what dead processes left in shared memory; what lives is left alone.",
    )
    parser.add_argument(
        "instance", nargs="?", help="which relay's (default: $RELAY_INSTANCE or 'default')"
    )
    try:
        removed = reclaim(parser.parse_args(argv).instance)
    except (BusError, OSError) as exc:
        print(f"bus.reclaim: {exc}", file=sys.stderr)
        return 2
    for name in removed:
        print(f"removed {name}")
    print(f"{len(removed)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
