"""Keeping streams whose publisher died, where shared memory lives only while it is held.

On Windows a segment is gone with its last holder. A supervisor that keeps every stream of
its instance lets the next publisher go on in the dead one's segment, as on POSIX, where the
name alone keeps it (`bus.segment.VOLATILE` tells).
"""

from __future__ import annotations

import contextlib

from bus.errors import BusError
from bus.names import instance_prefix, stream_of
from bus.segment import list_objects
from bus.stream import StreamSegment

__all__ = ["StreamKeeper"]


class StreamKeeper:
    """Holds the segments of an instance's streams until their publishers end them."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._held: dict[str, StreamSegment] = {}

    def refresh(self) -> None:
        """Hold streams that are new, let go of those that ended; call it about once a second."""
        for stream, segment in list(self._held.items()):
            if segment.retired:
                del self._held[stream]
                segment.close()
        for name in list_objects(instance_prefix(self._instance)):
            stream_name = stream_of(self._instance, name)
            if stream_name is not None and stream_name not in self._held:
                # What cannot be read, nobody can go on with.
                with contextlib.suppress(BusError):
                    self._held[stream_name] = StreamSegment.attach(self._instance, stream_name)

    def close(self) -> None:
        """Let go of all. May be called twice."""
        while self._held:
            self._held.popitem()[1].close()
