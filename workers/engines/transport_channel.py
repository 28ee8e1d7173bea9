"""A transport as a channel: its pauses are completions, see `workers.engines.asyncio_engine`."""

from __future__ import annotations

import asyncio

from workers.engines.interface import Owner

__all__ = ["TransportChannel"]


class TransportChannel:
    """One viewer's transport, on a loop that tries to send at once."""

    __slots__ = ("_owner", "_paused", "_transport")

    def __init__(self, transport: asyncio.Transport, owner: Owner) -> None:
        """Take over a transport; what was written to it before may be in flight still."""
        self._transport = transport
        self._owner: Owner | None = owner
        transport.set_write_buffer_limits(high=0)
        # The transport has told of this nobody, or somebody else.
        self._paused = transport.get_write_buffer_size() > 0

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self._paused

    def write(self, data: bytes) -> bool:
        """Send a frame; whether it is out already."""
        self._transport.write(data)
        return not self._paused

    def control(self, data: bytes) -> None:
        """Send a whole control message after the frame in flight."""
        self._transport.write(data)

    def finish(self) -> None:
        """Half-close after everything handed in."""
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def unsent(self) -> int:
        """Bytes that the transport still holds."""
        return self._transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """Called by the transport, within `write`, when bytes are left over."""
        self._paused = True

    def resume_writing(self) -> None:
        """Called by the transport when the last byte is out."""
        self._paused = False
        if self._owner is not None:
            self._owner.channel_idle()

    def release(self) -> None:
        """Forget the owner; the transport finishes or drops its bytes by itself."""
        self._owner = None
