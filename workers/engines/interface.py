"""The contract between a worker and the way its bytes reach the sockets.

* A channel is one viewer's connection. It has at most one frame in flight: `broadcast` and
  `send` may only be given channels that are idle.
* Bytes in flight are kept alive until their last operation has been seen to complete. The
  caller may forget them at once.
* `broadcast` and `send` tell which channels are still in flight when they return. Whenever a
  channel becomes idle again later, ``channel_idle`` of its owner is called once.
* Control messages (`control`) go out between frames, never inside one, and in order. They,
  too, can make a channel busy.
* `release` retires a channel; nothing of it is called afterwards, and no byte handed in for
  it reaches another viewer, also when the descriptor's number is used again.

Engines differ in cost only. One suite of tests runs over all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

__all__ = ["Channel", "Engine", "Owner"]


class Owner(Protocol):
    """Who is told that a channel can take the next frame."""

    def channel_idle(self) -> None:
        """Everything that was in flight has been handed to the kernel whole."""


class Channel(Protocol):
    """One viewer's way out."""

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""

    def control(self, data: bytes) -> None:
        """Send a whole control message after the frame in flight."""

    def finish(self) -> None:
        """Half-close (FIN) after everything handed in; nothing may be handed in afterwards."""

    def unsent(self) -> int:
        """Bytes handed in that the kernel has not taken yet."""

    def pause_writing(self) -> None:
        """The transport's write buffer is not empty (asyncio's flow control)."""

    def resume_writing(self) -> None:
        """The transport's write buffer is empty again."""

    def release(self) -> None:
        """Retire the channel."""


class Engine(Protocol):
    """See the module."""

    name: str

    def adopt(self, transport: asyncio.Transport, owner: Owner) -> Channel:
        """Make the channel of a connection whose handshake is done.

        The caller hands the protocol's ``pause_writing`` and ``resume_writing`` on to it.
        """

    def broadcast(self, channels: Collection[Channel], data: bytes) -> list[Channel]:
        """Send ``data`` on every channel; those still in flight."""

    def send(self, channel: Channel, data: bytes) -> bool:
        """Send ``data`` on one channel; whether it is out already."""

    def close(self) -> None:
        """Let go of what the engine itself holds; all channels are released."""
