"""The worker's end of its pipe to the supervisor, in its loop.

Messages are msgpack maps. The end of the pipe is the end of the supervisor. Where a loop can
watch a pipe it does; the Proactor loop cannot, so there a thread of its own waits for the
pipe and hands over what comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

import msgpack

from workers.context import Control

__all__ = ["ControlPipe"]


class ControlPipe:
    """Sends and receives messages; both ends of a message are never waited for."""

    def __init__(
        self,
        control: Control,
        received: Callable[[dict[str, Any]], object],
        ended: Callable[[], object],
    ) -> None:
        """Begin to listen, in the running loop.

        Args:
            control: the pipe.
            received: called with each message.
            ended: called once, when nothing will come any more.
        """
        self._control = control
        self._received = received
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._listening = True
        try:
            self._loop.add_reader(control.fileno(), self._readable)
            self._watched = True
        except NotImplementedError:
            self._watched = False
            threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: dict[str, object]) -> None:
        """Send a message, if anybody is there to read it."""
        with contextlib.suppress(OSError):
            self._control.send_bytes(msgpack.packb(message))

    def _readable(self) -> None:
        try:
            while self._listening and self._control.poll(0):
                self._take(self._control.recv_bytes())
        except (EOFError, OSError):
            self._end()

    def _listen(self) -> None:
        """In its own thread."""
        # A loop that is closed takes nothing any more.
        with contextlib.suppress(RuntimeError):
            try:
                while True:
                    self._loop.call_soon_threadsafe(self._take, self._control.recv_bytes())
            except (EOFError, OSError):
                self._loop.call_soon_threadsafe(self._end)

    def _take(self, data: bytes) -> None:
        if self._listening:
            self._received(msgpack.unpackb(data))

    def _end(self) -> None:
        if self._listening:
            self.close()
            self._ended()

    def close(self) -> None:
        """Listen no more. May be called twice."""
        if self._listening:
            self._listening = False
            if self._watched:
                self._loop.remove_reader(self._control.fileno())
