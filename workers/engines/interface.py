"""The contract between a worker and the way its bytes reach the sockets.

* A channel is one peer's connection. It has at most one frame in flight; `send` is for
  channels that are idle. Whatever is written to the connection goes through its channel.
* Bytes in flight are kept alive until their last operation has been seen to complete. The
  caller may forget them at once.
* Control messages go out between frames, never inside one, and in order. They, too, can make
  a channel busy.
* A group is the channels that wait for the same next frame. `Engine.broadcast` sends it to all
  of them at once; who is still busy with an earlier one is put out of the group first, and its
  owner hears ``channel_behind``.
* ``channel_idle`` tells the owner of a channel that is in no group that it became idle again,
  once. Members are not told: their next frame comes to them.
* `Channel.release` retires a channel: nothing is called afterwards, and no byte handed in for
  it reaches another peer, also when the descriptor's number is used again.

Engines differ in cost only. One suite of tests runs over all of them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Protocol

__all__ = ["Channel", "Engine", "Group", "Owner"]


class Owner(Protocol):
    """Who is told what becomes of a channel."""

    def channel_idle(self) -> None:
        """Everything that was in flight has been handed to the kernel whole."""

    def channel_behind(self) -> None:
        """The group's frame passed the channel by; it is no member any more."""

    def channel_failed(self, error: OSError) -> None:
        """The connection does not take any more: it is to be aborted."""


class Channel(Protocol):
    """One peer's way out."""

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""

    def send(self, data: bytes) -> bool:
        """Send a frame; whether it is out already."""

    def control(self, data: bytes) -> None:
        """Send a whole control message after the frame in flight."""

    def finish(self) -> None:
        """Half-close (FIN) after everything handed in; nothing may be handed in afterwards."""

    def close(self) -> None:
        """Close the transport after everything handed in, and after `finish`'s FIN."""

    def unsent(self) -> int:
        """Bytes handed in that may wait here; those of operations in flight count whole."""

    def progress(self) -> int:
        """A number that grows as the kernel or the peer takes bytes of what is in flight."""

    def pause_writing(self) -> None:
        """The transport's write buffer is not empty (asyncio's flow control)."""

    def resume_writing(self) -> None:
        """The transport's write buffer is empty again."""

    def release(self) -> None:
        """Retire the channel, in or before the transport's ``connection_lost``."""


class Group(Protocol):
    """Channels of one engine that are sent the same frames. A channel is in one at most."""

    def __len__(self) -> int: ...

    def __contains__(self, channel: object) -> bool: ...

    def add(self, channel: Channel) -> None:
        """Let it have the next frame; it may be busy now."""

    def discard(self, channel: Channel) -> bool:
        """Let it not; whether it was a member."""


class Engine(Protocol):
    """See the module."""

    name: str

    def attach(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        """Receive for a protocol, as a loop's server does; the socket is the engine's from now on.

        Where that fails ``connection_lost`` is all that the protocol hears.

        Args:
            sock: connected and non-blocking.
            protocol: told ``connection_made``, now or soon, with a transport for `adopt`.
        """

    def adopt(self, transport: asyncio.Transport, owner: Owner) -> Channel:
        """Make the channel of a connection on which nothing has been written.

        The caller hands the protocol's ``pause_writing`` and ``resume_writing`` on to it.
        """

    def group(self) -> Group:
        """Make an empty group."""

    def broadcast(self, frames: Sequence[tuple[Group, bytes]]) -> list[int]:
        """Send groups a frame each: to all that are idle; the others are put out.

        Args:
            frames: each group once at most.

        Returns:
            To how many each of them was sent.
        """

    def close(self) -> None:
        """Let go of what the engine itself holds; all channels are released."""
