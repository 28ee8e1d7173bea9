"""The channels that wait for one frame, as an array of submission entries ready to go.

The entries are a template: a frame only fills in its address and length. They are kept in
order of nothing, so that a member comes and goes in constant time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from workers.engines.interface import Channel
from workers.engines.uring import abi
from workers.engines.uring.channel import UringChannel
from workers.engines.uring.operations import PIECE, send_entry

if TYPE_CHECKING:
    from workers.engines.uring.engine import UringEngine

__all__ = ["UringGroup"]

_FEW: Final = 4
"""Members up to which writing one by one is cheaper than the ring."""


class UringGroup:
    """See the module.

    Attributes:
        busy: members that have an operation in flight.
    """

    __slots__ = (
        "_addresses",
        "_engine",
        "_entries",
        "_lengths",
        "_members",
        "_results",
        "_sends",
        "_whole",
        "_wholes",
        "busy",
    )

    def __init__(self, engine: UringEngine) -> None:
        self.busy: set[UringChannel] = set()
        self._engine = engine
        self._members: list[UringChannel] = []
        self._entries: NDArray[Any] = np.zeros(_FEW, abi.SQE)
        # The completions of sends that were all taken whole.
        self._wholes: NDArray[Any] = np.zeros(_FEW, abi.CQE)
        self._shape()

    def _shape(self) -> None:
        """Views of the members' entries, for as many as there are now."""
        sends = self._entries[: len(self._members)]
        self._sends = abi.rows_of(sends)
        self._addresses, self._lengths = sends["addr"], sends["len"]
        self._whole = self._wholes[: len(self._members)]
        self._results = self._whole["res"]

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, channel: object) -> bool:
        return isinstance(channel, UringChannel) and channel.group is self

    def add(self, channel: Channel) -> None:
        """Let it have the next frame."""
        assert isinstance(channel, UringChannel)
        assert channel.group is None
        channel.group = self
        channel.place = place = len(self._members)
        if not channel.idle:
            self.busy.add(channel)
        self._members.append(channel)
        if place == len(self._entries):
            self._entries = np.concatenate([self._entries, np.zeros_like(self._entries)])
            self._wholes = np.concatenate([self._wholes, np.zeros_like(self._wholes)])
        self._entries[place] = send_entry(channel.tag, channel.fd)
        self._wholes[place] = (channel.tag, 0, 0)
        self._shape()

    def discard(self, channel: Channel) -> bool:
        """Let it not; whether it was a member."""
        assert isinstance(channel, UringChannel)
        if channel.group is not self:
            return False
        channel.group = None
        self.busy.discard(channel)
        last = self._members.pop()
        if last is not channel:
            # It fills the gap.
            self._members[channel.place] = last
            self._entries[channel.place] = self._entries[last.place]
            self._wholes[channel.place] = self._wholes[last.place]
            last.place = channel.place
        self._shape()
        return True

    def send(self, data: bytes) -> int:
        """Send a frame to all that are idle, put out the others."""
        if self.busy:
            for channel in list(self.busy):
                self.discard(channel)
                channel.pass_by()
        count = len(self._members)
        if count <= _FEW:
            for channel in self._members:
                channel.send(data)
        else:
            self._addresses.fill(abi.address_of(data))
            self._lengths.fill(min(len(data), PIECE))
            self._results.fill(len(data))
            self._engine.broadcast(self._sends, self._whole.tobytes(), self._members, data)
        return count
