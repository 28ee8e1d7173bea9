"""What the kernel may answer to the io_uring engine, and seldom does."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
import uvloop
from numpy.typing import NDArray

from tests.contracts.test_engine import Bench, noise
from workers.engines.uring import abi
from workers.engines.uring.engine import UringEngine
from workers.engines.uring.operations import pack_tag, send_entry, slot_of
from workers.engines.uring.ring import Ring

SIZE = 200_000


class FaultyRing(Ring):
    """Sends `limit` bytes of the first entries, or lets them fail.

    Attributes:
        faults: for each of the next sends a length to cut it to, or a negative errno.
        full: how often the kernel has no memory for a batch's second half.
    """

    def __init__(self) -> None:
        self.faults: list[int] = []
        self.full = 0
        self._failures: dict[int, int] = {}
        super().__init__(128, 1024)

    def submit(self, entries: NDArray[Any]) -> int:
        if self.full and len(entries) > 1:
            self.full -= 1
            return super().submit(entries[: len(entries) // 2])
        entries = entries.copy()
        for entry in entries:
            if entry["opcode"] == abi.SEND and self.faults:
                fault = self.faults.pop(0)
                if fault < 0:
                    entry["opcode"], entry["addr"], entry["len"] = abi.NOP, 0, 0
                    entry["op_flags"] = 0
                    self._failures[int(entry["user_data"])] = fault
                else:
                    entry["len"] = min(entry["len"], fault)
        return super().submit(entries)

    def completions(self) -> NDArray[Any]:
        found = super().completions()
        for entry in found:
            entry["res"] = self._failures.pop(int(entry["user_data"]), entry["res"])
        return found


def run(scenario: Callable[[Bench, FaultyRing], Coroutine[Any, Any, None]]) -> None:
    async def guarded() -> None:
        ring = FaultyRing()
        async with asyncio.timeout(30), Bench(UringEngine(ring)) as bench:
            await scenario(bench, ring)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(guarded())


FAULTS = {
    "short": [1, 1000, 7],
    "no memory": [-errno.EAGAIN, -errno.EAGAIN],
    "interrupted": [-errno.EINTR],
    "all": [-errno.EAGAIN, 5, -errno.ENOBUFS, 17, 1],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("together", [1, 40])
def test_what_is_short_or_refused_goes_on_exactly(faults: list[int], together: int) -> None:
    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        peers = [await bench.connect(buffer=4096) for _ in range(together)]
        ring.faults = list(faults)
        data = noise(SIZE)
        bench.group(peers).send(data)
        for peer in peers:
            peer.channel.control(b"[then]")
        for peer in peers:
            assert await peer.read(SIZE + 6) == data + b"[then]"
            assert not peer.failures
        assert not ring.faults

    run(scenario)


def test_what_the_kernel_did_not_accept_is_sent_later() -> None:
    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        peers = [await bench.connect() for _ in range(40)]
        group = bench.group(peers)
        ring.full = 1
        data = noise(1000)
        assert group.send(data) == 40
        for peer in peers:
            assert await peer.read(1000) == data
            await peer.nothing_more()

    run(scenario)


def test_a_broken_connection_is_reported_once_and_harms_nobody() -> None:
    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        peers = [await bench.connect() for _ in range(40)]
        ring.faults = [-errno.EPIPE]
        data = noise(1000)
        bench.group(peers).send(data)
        await peers[0].lost.wait()
        assert [type(error) for error in peers[0].failures] == [BrokenPipeError]
        for peer in peers[1:]:
            assert await peer.read(1000) == data
            assert not peer.failures

    run(scenario)


def test_more_completions_than_the_queue_holds_are_all_seen() -> None:
    ring = Ring(64, 256)
    entries = np.zeros(2000, abi.SQE)
    entries["user_data"] = range(2000)
    assert ring.submit(entries) == 2000
    assert ring.completions()["user_data"].tolist() == list(range(2000))
    ring.close()


def test_a_used_slot_gets_another_tag() -> None:
    old, new = pack_tag(5, 1), pack_tag(5, 2)
    assert slot_of(old) == slot_of(new) == 5
    assert old != new
    assert send_entry(new, 3)[8] == new
