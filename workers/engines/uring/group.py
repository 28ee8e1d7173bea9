"""The channels that wait for one frame, as an array of submission entries ready to go.

The entries are a template: a frame only fills in its address and length. They are kept in
order of nothing, so that a member comes and goes in constant time, and are written when a
frame comes: in a storm most members have left by then.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.engines.interface import Channel
from workers.engines.uring import abi
from workers.engines.uring.channel import UringChannel
from workers.engines.uring.operations import send_now_entry

__all__ = ["UringGroup"]

_ENTRIES: Final = 32
"""What a group has room for at first."""


class UringGroup:
    """See the module.

    Attributes:
        members: in the order of their entries.
        busy: those that have an operation in flight.
    """

    __slots__ = (
        "_addresses",
        "_entries",
        "_lengths",
        "_sends",
        "_stale",
        "busy",
        "members",
    )

    def __init__(self) -> None:
        self.members: list[UringChannel] = []
        self.busy: set[UringChannel] = set()
        # Places whose entries are not those of the members there.
        self._stale: set[int] = set()
        self._entries: NDArray[Any] = np.zeros(_ENTRIES, abi.SQE)
        self._shape()

    def _shape(self) -> None:
        """The entries of the members that there are now."""
        members = self.members
        while len(members) > len(self._entries):
            self._entries = np.concatenate([self._entries, np.zeros_like(self._entries)])
        for place in self._stale:
            if place < len(members):
                channel = members[place]
                self._entries[place] = send_now_entry(channel.tag, channel.fd)
        self._stale.clear()
        sends = self._entries[: len(members)]
        self._sends = sends.view("u1").data
        self._addresses, self._lengths = sends["addr"], sends["len"]

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, channel: object) -> bool:
        return isinstance(channel, UringChannel) and channel.group is self

    def add(self, channel: Channel) -> None:
        """Let it have the next frame."""
        assert isinstance(channel, UringChannel)
        assert channel.group is None
        channel.group = self
        channel.place = len(self.members)
        if not channel.idle:
            self.busy.add(channel)
        self._stale.add(channel.place)
        self.members.append(channel)

    def discard(self, channel: Channel) -> bool:
        """Let it not; whether it was a member."""
        assert isinstance(channel, UringChannel)
        if channel.group is not self:
            return False
        channel.group = None
        self.busy.discard(channel)
        last = self.members.pop()
        if last is not channel:
            # It fills the gap.
            self.members[channel.place] = last
            last.place = channel.place
            self._stale.add(channel.place)
        return True

    def put_out_busy(self) -> None:
        """Go on without those who have something in flight."""
        for channel in list(self.busy):
            self.discard(channel)
            channel.pass_by()

    def entries(self, data: bytes) -> memoryview:
        """What sends a frame to all members, in their order; valid until the next change."""
        if self._stale or len(self.members) != len(self._lengths):
            self._shape()
        self._addresses.fill(abi.address_of(data))
        self._lengths.fill(len(data))
        return self._sends
