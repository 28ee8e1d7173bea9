"""Fan-out through the event loop's own transports: any loop, any platform.

With a write buffer limit of zero a transport pauses its protocol exactly while it holds
bytes that the kernel has not taken, so "paused" is "in flight":

* uvloop and the selector loop try to send at once and pause only when bytes are left over;
* the Proactor loop hands the very `bytes` object to WSASend and pauses until it completes.

Nothing is ever appended behind a frame in flight but control messages, so what a connection
can hold is one frame. uvloop and Proactor refer to the frame's own bytes; the selector loop of
Python before 3.12 copies the part that the kernel did not take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from workers.engines.interface import Channel, Owner

__all__ = ["AsyncioChannel", "AsyncioEngine"]


class AsyncioChannel:
    """A transport whose pauses are completions."""

    __slots__ = ("_owner", "paused", "transport")

    def __init__(self, transport: asyncio.Transport, owner: Owner) -> None:
        self.transport = transport
        self._owner: Owner | None = owner
        self.paused = False
        transport.set_write_buffer_limits(high=0)

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self.paused

    def write(self, data: bytes) -> bool:
        """Send a frame; whether it is out already."""
        self.transport.write(data)
        return not self.paused

    def control(self, data: bytes) -> None:
        """Send a whole control message after the frame in flight."""
        self.transport.write(data)

    def finish(self) -> None:
        """Half-close after everything handed in."""
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def unsent(self) -> int:
        """Bytes that the transport still holds."""
        return self.transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """Called by the transport, within `write`, when bytes are left over."""
        self.paused = True

    def resume_writing(self) -> None:
        """Called by the transport when the last byte is out."""
        self.paused = False
        if self._owner is not None:
            self._owner.channel_idle()

    def release(self) -> None:
        """Forget the owner; the transport finishes or drops its bytes by itself."""
        self._owner = None


class AsyncioEngine:
    """See the module."""

    name = "asyncio"

    def adopt(self, transport: asyncio.Transport, owner: Owner) -> AsyncioChannel:
        """Make a connection's channel."""
        return AsyncioChannel(transport, owner)

    def broadcast(self, channels: Collection[Channel], data: bytes) -> list[Channel]:
        """Write ``data`` to every transport; the channels that hold some of it still."""
        return [channel for channel in channels if not self.send(channel, data)]

    def send(self, channel: Channel, data: bytes) -> bool:
        """Write ``data`` to one transport; whether it is out already."""
        assert isinstance(channel, AsyncioChannel)
        return channel.write(data)

    def close(self) -> None:
        """Nothing is held."""
