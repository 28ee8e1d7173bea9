"""A transport of the Proactor loop as a channel: one `bytes` for all viewers, and half-close.

The loop hands a `bytes` object to WSASend as it is, but only while no write of that transport
is under way: anything else it copies into a buffer of that connection's own. A write that the
kernel completed at once is under way, too, until the loop has seen its completion in its
next turn, although the transport says that its buffer is empty. A frame that comes earlier
waits here for that turn, by reference.

The transport's ``write_eof`` closes the socket with whatever the peer still sends unread,
which resets the connection. So FIN is sent by hand, once everything else is out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from workers.engines.interface import Owner
from workers.engines.transport_channel import TransportChannel

__all__ = ["ProactorChannel"]


class ProactorChannel(TransportChannel):
    """See the module."""

    __slots__ = ("_closing", "_finishing", "_waiting")

    def __init__(self, transport: asyncio.Transport, owner: Owner) -> None:
        """Take over a transport; what was written to it before may be in flight still."""
        super().__init__(transport, owner)
        # The frame that may not be written yet, and what must not overtake it.
        self._waiting: list[bytes] = []
        self._finishing = self._closing = False

    def send(self, data: bytes) -> bool:
        """Send a frame; whether it is out already."""
        if self.transport.is_closing():
            # The peer is gone, and so will its connection be in the loop's next turn.
            return False
        # Without this private attribute the frame would be copied, and all be as well.
        if getattr(self.transport, "_write_fut", None) is None:
            return super().send(data)
        self._waiting.append(data)
        self.busy = True
        # The loop sees the completion first: it has queued that before this.
        asyncio.get_running_loop().call_soon(self._go_on)
        return False

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        self.busy = False
        if not self.transport.is_closing():
            for data in waiting:
                super().control(data)
        self._look()

    def control(self, data: bytes) -> None:
        """Send a whole control message after the frame in flight."""
        if self._waiting:
            self._waiting.append(data)
        elif not self.transport.is_closing():
            super().control(data)

    def finish(self) -> None:
        """Half-close after everything handed in."""
        self._finishing = True
        self._look()

    def close(self) -> None:
        """Close after everything handed in."""
        self._closing = True
        self._look()

    def unsent(self) -> int:
        """Bytes whose sending is not complete."""
        return super().unsent() + sum(map(len, self._waiting))

    def progress(self) -> int:
        """Bytes that the transport has given away."""
        return self._handed_in - super().unsent()

    def resume_writing(self) -> None:
        """Called by the transport when it has seen the last byte complete."""
        self.busy = bool(self._waiting)
        self._look()

    def _look(self) -> None:
        """Do what is due when nothing is in flight any more."""
        if self.busy or self.transport.is_closing():
            return
        if self._closing:
            self.transport.close()
        elif self._finishing:
            # Of a peer that is gone already, the receive that is armed will tell.
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        elif self.group is None and self._owner is not None:
            self._owner.channel_idle()

    def release(self) -> None:
        """Forget the owner; the transport finishes or drops its bytes by itself."""
        super().release()
        self._waiting.clear()
