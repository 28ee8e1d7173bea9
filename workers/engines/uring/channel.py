"""One connection on the ring: at most one operation in flight, and what waits behind it.

A single message is written directly: a ring pays for itself with many entries only. What the
kernel does not take at once is left to one SEND on the ring, which goes on by itself as the
peer makes room; its completion starts what waits. The channel refers to the bytes of its
operation until the completion has been seen, also after its release.

A message longer than `PIECE` takes several operations.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

from workers.engines.interface import Owner
from workers.engines.uring.operations import PIECE

if TYPE_CHECKING:
    from workers.engines.uring.engine import UringEngine
    from workers.engines.uring.group import UringGroup

__all__ = ["UringChannel"]

_PASSING: Final = (errno.EAGAIN, errno.EINTR, errno.ENOBUFS, errno.ENOMEM)
_RETRY: Final = 0.02
"""Seconds until a send is tried again that the kernel had no memory for."""
_TCP_INFO: Final = 11
_TCP_INFO_BYTES_ACKED: Final = 120
"""Offset of ``tcpi_bytes_acked`` [4.1] in ``struct tcp_info``."""


class UringChannel:
    """See the module.

    Attributes:
        tag: its slot and the slot's generation, the ``user_data`` of its operations.
        fd: the socket's descriptor, the transport's own.
        group: the group it is a member of.
        place: its place there.
    """

    __slots__ = (
        "_closing",
        "_data",
        "_done",
        "_engine",
        "_finishing",
        "_owner",
        "_queue",
        "_retry",
        "_transport",
        "fd",
        "group",
        "place",
        "tag",
    )

    def __init__(
        self, engine: UringEngine, tag: int, transport: asyncio.Transport, owner: Owner
    ) -> None:
        self.tag = tag
        self.fd: int = transport.get_extra_info("socket").fileno()
        self.group: UringGroup | None = None
        self.place = 0
        self._engine = engine
        self._transport = transport
        self._owner: Owner | None = owner
        # What is in flight and how much of it is out; then what follows.
        self._data: bytes | None = None
        self._done = 0
        self._queue: list[bytes] | None = None
        self._finishing = self._closing = False
        self._retry: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return self._data is None

    @property
    def released(self) -> bool:
        """Whether it has no owner any more."""
        return self._owner is None

    # What goes out.

    def send(self, data: bytes) -> bool:
        """Send a frame; whether it is out already."""
        try:
            done = os.write(self.fd, data)
        except OSError as exc:
            done = -(exc.errno or errno.EPIPE)
        if done == len(data):
            return True
        self.stopped(data, done)
        return False

    def control(self, data: bytes) -> None:
        """Send a whole control message after the frame in flight."""
        if self._data is None:
            self.send(data)
        elif self._queue is None:
            self._queue = [data]
        else:
            self._queue.append(data)

    def stopped(self, data: bytes, result: int) -> None:
        """Go on with a frame of which ``result`` bytes are out; or that is an errno."""
        if result < 0 and -result not in _PASSING:
            self._fail(OSError(-result, os.strerror(-result)))
            return
        self._data, self._done = data, max(0, result)
        if self.group is not None:
            self.group.busy.add(self)
        self._submit(data)

    def _submit(self, data: bytes) -> None:
        length = min(len(data) - self._done, PIECE)
        if not self._engine.submit(self.tag, self.fd, data, self._done, length):
            self._try_later()

    def _try_later(self) -> None:
        """The kernel had no memory for the operation."""
        self._retry = self._engine.loop.call_later(_RETRY, self._again)

    def _again(self) -> None:
        self._retry = None
        assert self._data is not None
        self._submit(self._data)

    def completed(self, result: int) -> None:
        """The operation came to its end: ``result`` bytes are out, or it is an errno."""
        data = self._data
        assert data is not None
        if self._owner is None:
            self._data = None
            self._engine.forget(self)
        elif result > 0:
            self._done += result
            if self._done < len(data):
                self._submit(data)
            else:
                self._go_on()
        elif -result in _PASSING:
            self._try_later()
        else:
            error = -result or errno.EPIPE
            self._fail(OSError(error, os.strerror(error)))

    def _go_on(self) -> None:
        """What was in flight is out; next is what waits behind it."""
        queue, self._data, self._queue = self._queue, None, None
        if queue is not None and not self.send(b"".join(queue)):
            return
        if self.group is not None:
            self.group.busy.discard(self)
        if self._finishing:
            self._finish_now()
        elif self._closing:
            self._transport.close()
        elif self.group is None and self._owner is not None:
            self._owner.channel_idle()

    def _fail(self, error: OSError) -> None:
        """The connection is over; until its end the channel counts as busy."""
        self._data, self._queue = b"", None
        if self.group is not None:
            self.group.busy.add(self)
        if self._owner is not None:
            self._owner.channel_failed(error)

    def pass_by(self) -> None:
        """Tell the owner that the group went on without it."""
        if self._owner is not None:
            self._owner.channel_behind()

    # The end.

    def finish(self) -> None:
        """Half-close after everything handed in."""
        self._finishing = True
        if self._data is None:
            self._finish_now()

    def _finish_now(self) -> None:
        self._finishing = False
        if not self._transport.is_closing():
            self._transport.write_eof()
        if self._closing:
            self._transport.close()

    def close(self) -> None:
        """Close the transport after everything handed in."""
        self._closing = True
        if self._data is None:
            self._transport.close()

    def release(self) -> None:
        """Retire the channel; what is in flight is called back."""
        if self._owner is None:
            return
        self._owner = None
        if self.group is not None:
            self.group.discard(self)
        if self._retry is not None:
            self._retry.cancel()
        elif self._data:
            # Kept until the operation has completed.
            self._engine.cancel(self.tag)
            return
        self._engine.forget(self)

    # What the deadlines look at.

    def unsent(self) -> int:
        """Bytes that wait here; those of the operation in flight count whole."""
        waiting = sum(map(len, self._queue)) if self._queue is not None else 0
        return waiting + (len(self._data) - self._done if self._data is not None else 0)

    def progress(self) -> int:
        """Bytes that the peer has acknowledged."""
        sock = self._transport.get_extra_info("socket")
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _TCP_INFO_BYTES_ACKED + 8)
        (acknowledged,) = struct.unpack_from("Q", info, _TCP_INFO_BYTES_ACKED)
        return int(acknowledged)

    def pause_writing(self) -> None:
        """Nothing goes through the transport's buffer."""

    def resume_writing(self) -> None:
        """Nothing goes through the transport's buffer."""
