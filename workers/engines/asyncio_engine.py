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
import logging
import socket
from collections.abc import Sequence

from workers.engines.interface import Channel, Group, Owner
from workers.engines.proactor_channel import ProactorChannel
from workers.engines.transport_channel import TransportChannel

__all__ = ["AsyncioEngine", "AsyncioGroup"]

log = logging.getLogger(__name__)


def _channel_of(transport: asyncio.Transport, owner: Owner) -> TransportChannel:
    """The channel of a transport of the running loop."""
    proactor_loop = getattr(asyncio, "ProactorEventLoop", None)
    if proactor_loop is not None and isinstance(asyncio.get_running_loop(), proactor_loop):
        return ProactorChannel(transport, owner)
    return TransportChannel(transport, owner)


class AsyncioGroup:
    """A set of channels, written to one by one."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[TransportChannel, None] = {}

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, channel: object) -> bool:
        return channel in self._members

    def add(self, channel: Channel) -> None:
        """Let it have the next frame."""
        assert isinstance(channel, TransportChannel)
        channel.group = self
        self._members[channel] = None

    def discard(self, channel: Channel) -> bool:
        """Let it not; whether it was a member."""
        assert isinstance(channel, TransportChannel)
        if channel.group is not self:
            return False
        channel.group = None
        del self._members[channel]
        return True

    def send(self, data: bytes) -> int:
        """Write a frame to all that are idle, put out the others."""
        for channel in [member for member in self._members if member.busy]:
            self.discard(channel)
            channel.pass_by()
        for channel in self._members:
            channel.send(data)
        return len(self._members)


class AsyncioEngine:
    """See the module."""

    name = "asyncio"

    def attach(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        """Give a socket to the loop."""
        task = asyncio.get_running_loop().create_task(_attach(sock, protocol))
        task.add_done_callback(_consume)

    def adopt(self, transport: asyncio.Transport, owner: Owner) -> TransportChannel:
        """Make a connection's channel."""
        return _channel_of(transport, owner)

    def group(self) -> AsyncioGroup:
        """Make an empty group."""
        return AsyncioGroup()

    def broadcast(self, frames: Sequence[tuple[Group, bytes]]) -> list[int]:
        """Send groups a frame each."""
        return [_group(group).send(data) for group, data in frames]

    def close(self) -> None:
        """Nothing is held."""


def _group(group: Group) -> AsyncioGroup:
    assert isinstance(group, AsyncioGroup)
    return group


async def _attach(sock: socket.socket, protocol: asyncio.Protocol) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_accepted_socket(lambda: protocol, sock)
    except OSError as exc:
        sock.close()
        protocol.connection_lost(exc)


def _consume(task: asyncio.Task[None]) -> None:
    """Log what no handler expected, as one line."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a connection could not be served: %r", error)
