"""Fan-out through io_uring: one system call hands a frame to many sockets.

Lessons of the kernel that this rests on:

* An operation holds its socket, not the descriptor's number, and closing the number does not
  end it: a channel that is released calls its operation back, and its slot is free again only
  when that has completed.
* Nearly all sends complete within the call that submits them. Those of slow peers complete
  later; the ring then wakes the loop. Nothing ever waits for them.
* With WAITALL a send that found no room goes on by itself; a short one is still possible, and
  is continued.

A broadcast waits in the kernel for nobody, and only those of its sends complete that are not out
whole (`send_now_entry`): each of them is then continued, or found broken, by itself.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from typing import Final

import numpy as np

from workers.engines.interface import Group, Owner
from workers.engines.uring import abi
from workers.engines.uring.channel import UringChannel
from workers.engines.uring.group import UringGroup
from workers.engines.uring.operations import cancel_entry, pack_tag, send_entry, slot_of
from workers.engines.uring.receiver import Receiver
from workers.engines.uring.ring import Completion, Ring
from workers.engines.uring.turns import Turns

__all__ = ["UringEngine"]

_BATCH: Final = 512
"""Sends in one system call: with fewer those who read interrupt a fan-out more often, and its last
viewers wait longer; with many more the readers wait, for nothing preempts the call."""
_BATCH_BYTES: Final = 2 << 20
"""Bytes that these send at most: more would leave the processor's caches before anybody on this
host gets to read them, and new ones would have to come from memory."""
_LARGE: Final = 48 << 10
"""Bytes of a frame from which on a fan-out takes turns with others (`Turns`): smaller ones cost
readers more for being woken, once for each turn, than for what they read."""
_TURN_BYTES: Final = 1 << 20
"""Bytes sent until it is others' turn."""
_FEW: Final = 12
"""Sends up to which writing one by one is cheaper than the ring, with all that leads to it."""
_COMPLETIONS: Final = 16_384


class UringEngine:
    """See the module. Made and used within one running loop.

    Attributes:
        loop: that loop.
    """

    name = "uring"

    def __init__(self, ring: Ring | None = None, turns: Turns | None = None) -> None:
        """Make the engine.

        Args:
            ring: instead of one of its own.
            turns: likewise.

        Raises:
            OSError: when the kernel does not allow it, or is too old.
        """
        self.loop = asyncio.get_running_loop()
        self._ring = ring or Ring(_BATCH, _COMPLETIONS)
        self._channels: dict[int, UringChannel] = {}
        self._free: list[int] = []
        self._slots = 0
        self._single = np.zeros(1, abi.SQE)
        self._single_bytes = self._single.view("u1").data
        # Completions that turned up while somebody was in the middle of something.
        self._unseen: list[Completion] = []
        self.loop.add_reader(self._ring.fileno(), self._ready)
        self._receiver = Receiver(self.loop)
        self._turns = turns or Turns()

    def attach(self, sock: socket.socket, protocol: asyncio.Protocol) -> None:
        """Receive for a protocol."""
        self._receiver.attach(sock, protocol)

    def adopt(self, transport: asyncio.Transport, owner: Owner) -> UringChannel:
        """Make a connection's channel."""
        if self._free:
            tag = self._free.pop()
            tag = pack_tag(slot_of(tag), (tag >> 32) + 1)
        else:
            tag = pack_tag(self._slots, 0)
            self._slots += 1
        channel = self._channels[tag] = UringChannel(self, tag, transport, owner)
        return channel

    def forget(self, channel: UringChannel) -> None:
        """A released channel's last operation has completed; its slot is free."""
        del self._channels[channel.tag]
        self._free.append(channel.tag)

    def group(self) -> UringGroup:
        """Make an empty group."""
        return UringGroup()

    # Operations.

    def submit(self, tag: int, fd: int, data: bytes, done: int, length: int) -> bool:
        """Send a part of ``data``; whether the kernel accepted it."""
        self._single[0] = send_entry(tag, fd, abi.address_of(data) + done, length)
        return self._ring.submit(self._single_bytes) == 1

    def cancel(self, tag: int) -> None:
        """Call back a channel's operation, and let the kernel act on it now."""
        self._single[0] = cancel_entry(tag)
        self._ring.submit(self._single_bytes)
        self._ring.flush()
        # Not to its owner, who is in the middle of something.
        self._put_aside(self._ring.completions())
        self._retire()

    def broadcast(self, frames: Sequence[tuple[Group, bytes]]) -> list[int]:
        """Send groups a frame each."""
        sends = [(_group(group), data) for group, data in frames]
        for group, _ in sends:
            if group.busy:
                group.put_out_busy()
        counts = [len(group.members) for group, _ in sends]
        # Small frames do not wait for the turns of large ones.
        small = [send for send in sends if len(send[1]) < _LARGE]
        if small:
            self._send(small)
        if len(small) < len(sends):
            for send in sends:
                if len(send[1]) >= _LARGE:
                    self._send([send], self._turns)
        return counts

    def _send(self, sends: list[tuple[UringGroup, bytes]], turns: Turns | None = None) -> None:
        """Send some of the groups; with turns, a batch is followed by others'."""
        total = sum(len(group.members) for group, _ in sends)
        if total > _FEW:
            self._submit_all(sends, total, turns)
            return
        for group, data in sends:
            for channel in group.members:
                channel.send(data)

    def _submit_all(
        self, sends: list[tuple[UringGroup, bytes]], total: int, turns: Turns | None
    ) -> None:
        """Submit the groups' entries and see to those that are not out whole."""
        entries = [group.entries(data) for group, data in sends]
        batch, between = _BATCH_BYTES, None
        if turns is not None:
            turns.begin()
            batch, between = _TURN_BYTES, turns.give
        submitted = self._ring.submit(
            entries[0] if len(entries) == 1 else memoryview(b"".join(entries)),
            at_once=max(1, batch // max(len(data) for _, data in sends)),
            between=between,
            wake=False,
        )
        completions = self._ring.completions()
        if not completions and submitted == total:
            return
        messages = dict(sends)
        stopped: list[tuple[UringChannel, bytes, int]] = []
        others: list[Completion] = []
        for completion in completions:
            tag, result, _ = completion
            channel = self._channels.get(tag)
            if channel is None or not channel.idle:
                # An operation of its own, of earlier.
                others.append(completion)
            else:
                assert channel.group is not None
                stopped.append((channel, messages[channel.group], result))
        members = [(channel, data) for group, data in sends for channel in group.members]
        stopped += [(channel, data, -errno.EAGAIN) for channel, data in members[submitted:]]
        self._put_aside(others)
        for channel, data, result in stopped:
            channel.stopped(data, result)

    def _put_aside(self, completions: list[Completion]) -> None:
        """Keep completions for the loop's next turn: owners act on them."""
        if completions:
            if not self._unseen:
                self.loop.call_soon(self._look_at_unseen)
            self._unseen += completions

    def _retire(self) -> None:
        """Complete what belongs to released channels, which tells nobody."""
        unseen, self._unseen = self._unseen, []
        for completion in unseen:
            tag, result, _ = completion
            channel = self._channels.get(tag)
            if channel is not None and channel.released:
                channel.completed(result)
            else:
                self._unseen.append(completion)

    def _look_at_unseen(self) -> None:
        unseen, self._unseen = self._unseen, []
        self._dispatch(unseen)

    def _ready(self) -> None:
        """The ring has something to tell."""
        self._ring.flush()
        self._dispatch(self._ring.completions())

    def _dispatch(self, completions: list[Completion]) -> None:
        for tag, result, _ in completions:
            channel = self._channels.get(tag)
            if channel is None:
                continue
            try:
                channel.completed(result)
            except Exception as exc:
                # Of one connection, and no other's concern.
                self.loop.call_exception_handler(
                    {"message": "a completion could not be handled", "exception": exc}
                )

    def close(self) -> None:
        """Give the ring back once the last operation has completed."""
        self.loop.remove_reader(self._ring.fileno())
        self._look_at_unseen()
        while self._channels:
            # All are released and called back.
            self._ring.flush(1)
            self._ready()
        self._receiver.close()
        self._ring.close()


def _group(group: Group) -> UringGroup:
    assert isinstance(group, UringGroup)
    return group
