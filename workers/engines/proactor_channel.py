"""A transport of the Proactor loop as a channel: one `bytes` for all viewers, large ones in pieces.

The loop hands a `bytes` object to WSASend as it is, but only while no write of that transport
is under way: anything else it copies into a buffer of that connection's own. A write that the
kernel completed at once is under way, too, until the loop has seen its completion in its
next turn, although the transport says that its buffer is empty. A frame that comes earlier
waits here for that turn, by reference.

Of a write that is under way nothing can be seen before all of it is out. What is large is
written in pieces, so that a viewer who takes long for it is seen to be alive; they are cut
once for all who are being sent them.

Nothing may be written behind the transport's ``write_eof``, so that waits until nothing waits
here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final
from weakref import WeakValueDictionary

from workers.engines.interface import Owner
from workers.engines.transport_channel import TransportChannel

__all__ = ["ProactorChannel"]


_PIECE: Final = 128 * 1024
"""Bytes that the slowest viewer takes in a fraction of any sensible progress timeout."""


class _Pieces:
    """Something large, cut up.

    Attributes:
        whole: what it was.
        pieces: what it is to be sent as.
    """

    __slots__ = ("__weakref__", "pieces", "whole")

    def __init__(self, whole: bytes) -> None:
        self.whole = whole
        self.pieces = [whole[at : at + _PIECE] for at in range(0, len(whole), _PIECE)]


_in_use: Final[WeakValueDictionary[int, _Pieces]] = WeakValueDictionary()
"""By the identity of the whole, which cannot be another's as long as its pieces are kept."""


def _cut(whole: bytes) -> _Pieces:
    found = _in_use.get(id(whole))
    if found is None:
        found = _in_use[id(whole)] = _Pieces(whole)
    return found


class ProactorChannel(TransportChannel):
    """See the module."""

    __slots__ = ("_closing", "_cut", "_finishing", "_waiting")

    def __init__(self, transport: asyncio.Transport, owner: Owner) -> None:
        """Take over a transport; what was written to it before may be in flight still."""
        super().__init__(transport, owner)
        # What may not be written yet, in order.
        self._waiting: deque[bytes] = deque()
        # Keeps the pieces that wait for all others.
        self._cut: _Pieces | None = None
        self._finishing = self._closing = False

    def send(self, data: bytes) -> bool:
        """Send a frame; whether it is out already."""
        if self.transport.is_closing():
            # The peer is gone, and so will its connection be in the loop's next turn.
            return False
        self._take(data)
        # Without this private attribute the frame would be copied, and all be as well.
        if getattr(self.transport, "_write_fut", None) is None:
            self._write_next()
        else:
            self._go_on_soon()
        return not self.busy

    def _take(self, data: bytes) -> None:
        """Let something wait for its turn."""
        self._handed_in += len(data)
        if len(data) <= _PIECE:
            self._waiting.append(data)
        else:
            self._cut = _cut(data)
            self._waiting.extend(self._cut.pieces)

    def _write_next(self) -> None:
        """Write one thing that waits; no write may be under way."""
        self.busy = False
        self.transport.write(self._waiting.popleft())
        if not self._waiting:
            self._cut = None
        elif not self.busy:
            self._go_on_soon()

    def _go_on_soon(self) -> None:
        self.busy = True
        # The loop sees the completion first: it has queued that before this.
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if self.transport.is_closing():
            self._waiting.clear()
        elif self._waiting:
            self._write_next()
        self._look()

    def control(self, data: bytes) -> None:
        """Send a whole control message after the frame in flight."""
        if self.transport.is_closing():
            return
        if self._waiting or (self.busy and len(data) > _PIECE):
            # Its turn comes when the write that is under way has been seen to complete.
            self._take(data)
        elif len(data) > _PIECE:
            self.send(data)
        else:
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

    def resume_writing(self) -> None:
        """Called by the transport when it has seen the last byte complete."""
        self.busy = False
        self._go_on()

    def _look(self) -> None:
        """Do what is due when nothing is in flight any more."""
        if self.busy or self.transport.is_closing():
            return
        if self._closing:
            self.transport.close()
        elif self._finishing:
            # Of a peer that is gone already, the receive that is armed will tell.
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        elif self.group is None and self._owner is not None:
            self._owner.channel_idle()

    def release(self) -> None:
        """Forget the owner; the transport finishes or drops its bytes by itself."""
        super().release()
        self._waiting.clear()
        self._cut = None
