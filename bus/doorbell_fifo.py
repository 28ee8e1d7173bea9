"""Doorbells as FIFOs beside the segments.

A FIFO is a file with the segment's own permissions, works wherever the segment can be
mapped (also across network namespaces), and needs no descriptor passing. A ring writes
four bytes, the token, which POSIX makes atomic. A full FIFO means that its reader has
been rung already, so the writer drops the ring and goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import select
import struct
import sys
from collections.abc import Callable

from bus import segment_posix
from bus.names import bell_object

assert sys.platform != "win32"

__all__ = ["FifoDoorbell", "FifoRinger", "remove_fifo"]

_TOKEN = struct.Struct("I")
_DRAIN_BYTES = 4096
# More bells than a reader table has slots: some belong to readers that left.
_OPEN_BELLS = 128


def remove_fifo(instance: str, bell: int) -> None:
    """Remove the FIFO of a reader that died."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(segment_posix.path_of(bell_object(instance, bell)))


class FifoDoorbell:
    """The reader's end; makes the FIFO and removes it on `close`."""

    __slots__ = ("_fd", "_loop", "_path", "id")

    def __init__(self, instance: str) -> None:
        self.id = secrets.randbits(64) | 1
        self._path = segment_posix.path_of(bell_object(instance, self.id))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1
        while self._fd < 0:
            os.mkfifo(self._path, 0o600)
            # Until it is open it looks abandoned, and `reclaim` may remove it.
            with contextlib.suppress(FileNotFoundError):
                # Read and write: with a writer of its own the FIFO never reports end of file.
                self._fd = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def drain(self) -> set[int]:
        """Take all pending rings; the tokens that were rung, possibly none."""
        try:
            data = os.read(self._fd, _DRAIN_BYTES)
        except BlockingIOError:
            return set()
        return set(memoryview(data).cast("I"))

    def wait(self, timeout: float | None) -> bool:
        """Block until rung, at most ``timeout`` seconds; whether a ring is pending."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0.0, timeout * 1000)))

    def attach(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Let the loop call ``callback`` whenever a ring is pending, until `detach`."""
        loop.add_reader(self._fd, callback)
        self._loop = loop

    def detach(self) -> None:
        """End what `attach` began. May be called twice."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._fd)

    def close(self) -> None:
        """Remove the FIFO. May be called twice."""
        if self._fd >= 0:
            self.detach()
            os.close(self._fd)
            self._fd = -1
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)


class FifoRinger:
    """The writer's end; opens each FIFO once."""

    __slots__ = ("_fds", "_instance")

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._fds: dict[int, int] = {}

    def ring(self, bell: int, token: int) -> bool:
        """Wake the bell's owner; False when it is gone.

        Raises:
            OSError: this process has no descriptor left to ring with.
        """
        try:
            fd = self._fds.get(bell)
            if fd is None:
                if len(self._fds) >= _OPEN_BELLS:
                    self.close()
                path = segment_posix.path_of(bell_object(self._instance, bell))
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._fds[bell] = fd
            os.write(fd, _TOKEN.pack(token))
        except BlockingIOError:
            return True
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise
            # ENOENT, ENXIO, EPIPE: the owner left or died.
            fd = self._fds.pop(bell, None)
            if fd is not None:
                os.close(fd)
            return False
        return True

    def close(self) -> None:
        """Close all FIFOs. May be called twice."""
        while self._fds:
            os.close(self._fds.popitem()[1])
