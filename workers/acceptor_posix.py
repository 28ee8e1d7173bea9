"""Accepting from the shared listener on POSIX: every worker polls it.

A descriptor's number is the lowest that is free, so the number of a connection tells how
full the process is. Some numbers are kept for what serving needs beside connections: the
memory of streams, other workers' doorbells. A worker that took all of them for connections
could serve none of them.
"""

from __future__ import annotations

import errno
import os
import resource
import struct
import sys
from collections.abc import Callable
from typing import Final

from workers.accepting import BaseAcceptor

assert sys.platform != "win32"

__all__ = ["LINGER_RESET", "Acceptor"]

LINGER_RESET: Final = struct.pack("ii", 1, 0)
_SHORTAGE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RESERVED: Final = 64
"""Descriptors that connections leave free, and..."""
_RESERVED_DIVISOR: Final = 8
"""...never more than this part of all."""
_AT_ONCE: Final = 16
"""Connections taken in one turn of the loop, each with a look at the gate."""
_REMEDY: Final = "raise the limit (ulimit -n)"


class Acceptor(BaseAcceptor):
    """Polls the listener while the gate and the rate limit allow it."""

    def _arm(self) -> None:
        self._armed = True
        self._loop.add_reader(self._listener.fileno(), self._ready)

    def _disarm(self) -> None:
        if self._armed:
            self._armed = False
            self._loop.remove_reader(self._listener.fileno())

    def _retire(self, retired: Callable[[], object]) -> None:
        self._disarm()
        retired()

    def _shortage(self, error: OSError) -> str | None:
        return _REMEDY if error.errno in _SHORTAGE else None

    def _has_room(self) -> bool:
        try:
            lowest_free = os.dup(self._listener.fileno())
        except OSError:
            return False
        os.close(lowest_free)
        return lowest_free < _for_connections()

    def _ready(self) -> None:
        limit = _for_connections()
        for _ in range(_AT_ONCE):
            if self._full or self._left <= 0 or not self._gate.is_open():
                self._disarm()
                return
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                self._fail(exc)
                continue
            number = connection.fileno()
            self._take(connection, address[0])
            if number + 1 >= limit:
                self._pause(f"{number + 1} files are open, the rest is for streams; {_REMEDY}")


def _for_connections() -> float:
    """The number from which on descriptors are not for connections."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    return limit - min(_RESERVED, limit // _RESERVED_DIVISOR)
