"""Fan-out through the event loop's own transports: any loop, any platform.

With a write buffer limit of zero a transport pauses its protocol exactly while it holds
bytes that the kernel has not taken, so "paused" is "in flight":

* uvloop and the selector loop try to send at once and pause only when bytes are left over;
* the Proactor loop begins to send and pauses unless that completes at once; what else is
  particular to it is in `workers.engines.proactor_channel`.

Nothing is ever appended behind a frame in flight but control messages, so what a connection
can hold is one frame. uvloop and Proactor refer to the frame's own bytes; the selector loop of
Python before 3.12 copies the part that the kernel did not take.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection

from workers.engines.interface import Channel, Owner
from workers.engines.proactor_channel import ProactorChannel
from workers.engines.transport_channel import TransportChannel
from workers.tls import TlsLayer

__all__ = ["AsyncioEngine", "transport_channel"]


def transport_channel(transport: asyncio.Transport, owner: Owner) -> TransportChannel:
    """The channel of a transport of the running loop."""
    if sys.platform == "win32" and not isinstance(transport, TlsLayer):
        if isinstance(asyncio.get_running_loop(), asyncio.ProactorEventLoop):
            return ProactorChannel(transport, owner)
    return TransportChannel(transport, owner)


class AsyncioEngine:
    """See the module."""

    name = "asyncio"

    def adopt(self, transport: asyncio.Transport, owner: Owner) -> TransportChannel:
        """Make a connection's channel."""
        return transport_channel(transport, owner)

    def broadcast(self, channels: Collection[Channel], data: bytes) -> list[Channel]:
        """Write ``data`` to every transport; the channels that hold some of it still."""
        return [channel for channel in channels if not self.send(channel, data)]

    def send(self, channel: Channel, data: bytes) -> bool:
        """Write ``data`` to one transport; whether it is out already."""
        assert isinstance(channel, TransportChannel)
        return channel.write(data)

    def close(self) -> None:
        """Nothing is held."""
