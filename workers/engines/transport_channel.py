"""A transport as a channel: its pauses are completions, see `workers.engines.asyncio_engine`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from workers.engines.interface import Owner

if TYPE_CHECKING:
    from workers.engines.asyncio_engine import AsyncioGroup

__all__ = ["TransportChannel"]


class TransportChannel:
    """One peer's transport, on a loop that tries to send at once.

    Attributes:
        transport: the connection's.
        group: the group it is a member of.
        busy: whether something is in flight.
    """

    __slots__ = ("_handed_in", "_owner", "busy", "group", "transport")

    def __init__(self, transport: asyncio.Transport, owner: Owner) -> None:
        """Take over a transport; what was written to it before may be in flight still."""
        self.transport = transport
        self.group: AsyncioGroup | None = None
        self._owner: Owner | None = owner
        transport.set_write_buffer_limits(high=0)
        self._handed_in = transport.get_write_buffer_size()
        # The transport has told of this nobody, or somebody else.
        self.busy = self._handed_in > 0

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self.busy

    def send(self, data: bytes) -> bool:
        """Send a frame; whether it is out already."""
        self._handed_in += len(data)
        self.transport.write(data)
        return not self.busy

    def control(self, data: bytes) -> None:
        """Send a whole control message after the frame in flight."""
        self._handed_in += len(data)
        self.transport.write(data)

    def finish(self) -> None:
        """Half-close after everything handed in."""
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def close(self) -> None:
        """Close after everything handed in."""
        self.transport.close()

    def unsent(self) -> int:
        """Bytes that the transport still holds."""
        return self.transport.get_write_buffer_size()

    def progress(self) -> int:
        """Bytes that the transport has given away."""
        return self._handed_in - self.unsent()

    def pause_writing(self) -> None:
        """Called by the transport, within `send`, when bytes are left over."""
        self.busy = True

    def resume_writing(self) -> None:
        """Called by the transport when the last byte is out."""
        self.busy = False
        if self.group is None and self._owner is not None:
            self._owner.channel_idle()

    def pass_by(self) -> None:
        """Tell the owner that the group went on without it."""
        if self._owner is not None:
            self._owner.channel_behind()

    def release(self) -> None:
        """Forget the owner; the transport finishes or drops its bytes by itself."""
        self._owner = None
        if self.group is not None:
            self.group.discard(self)
