"""What the kernel may answer to the io_uring engine, and seldom does."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest

from tests.contracts.test_engine import HUGE, Bench, Peer, is_open, noise
from tests.platforms import WINDOWS

if WINDOWS:
    pytest.skip("optional: io_uring is Linux's", allow_module_level=True)

import uvloop

from workers.acceptor import LINGER_RESET
from workers.engines.uring import abi
from workers.engines.uring.engine import UringEngine
from workers.engines.uring.operations import pack_tag, send_entry, slot_of
from workers.engines.uring.ring import Completion, Ring

SIZE = 200_000


class FaultyRing(Ring):
    """Sends `limit` bytes of the first entries, or lets them fail.

    Attributes:
        faults: for each of the next sends a length to cut it to, or a negative errno.
        full: how often the kernel has no memory for a batch's second half.
        flushes: how often it was asked for what has completed meanwhile.
    """

    def __init__(self) -> None:
        self.faults: list[int] = []
        self.full = 0
        self.flushes = 0
        self._held: list[Completion] | None = None
        self._failures: dict[int, int] = {}
        super().__init__(128, 1024)

    def submit(self, entries: memoryview, **options: Any) -> int:
        changed = np.frombuffer(bytearray(entries), abi.SQE)
        if self.full and len(changed) > 1:
            self.full -= 1
            changed = changed[: len(changed) // 2]
        for entry in changed:
            if entry["opcode"] == abi.SEND and self.faults:
                fault = self.faults.pop(0)
                # So that it has a completion.
                entry["flags"] = 0
                if fault < 0:
                    entry["opcode"], entry["addr"], entry["len"] = abi.NOP, 0, 0
                    entry["op_flags"] = 0
                    self._failures[int(entry["user_data"])] = fault
                else:
                    entry["len"] = min(entry["len"], fault)
        return super().submit(memoryview(changed.tobytes()), **options)

    def completions(self) -> list[Completion]:
        found = [
            (tag, self._failures.pop(tag, result), flags)
            for tag, result, flags in super().completions()
        ]
        if self._held is None:
            return found
        self._held += found
        return []

    def flush(self, wait: int = 0) -> None:
        self.flushes += 1
        super().flush(wait)

    @contextlib.contextmanager
    def late(self) -> Iterator[None]:
        """Keep all completions back for so long."""
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            entries = np.zeros(len(held), abi.SQE)
            entries["user_data"] = [tag for tag, _, _ in held]
            self._failures |= {tag: result for tag, result, _ in held}
            super().submit(memoryview(entries.tobytes()))


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
def test_short_and_eagain(faults: list[int], together: int) -> None:
    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        peers = [await bench.connect(buffer=4096) for _ in range(together)]
        ring.faults = list(faults)
        data = noise(SIZE)
        bench.send(bench.group(peers), data)
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
        assert bench.send(group, data) == 40
        for peer in peers:
            assert await peer.read(1000) == data
            await peer.nothing_more()

    run(scenario)


@pytest.mark.parametrize("size", [SIZE // 5, SIZE], ids=["together", "by themselves"])
@pytest.mark.parametrize("members", [(40,), (15, 1, 24), (3, 30, 7)])
def test_groups_at_once_are_each_sent_what_the_kernel_left(
    members: tuple[int, ...], size: int
) -> None:
    """Some short, some refused, one broken, half of all not accepted: each goes on with its own."""

    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        peers = [[await bench.connect() for _ in range(count)] for count in members]
        groups = [bench.group(each) for each in peers]
        frames = [noise(size + number, number) for number in range(len(groups))]
        ring.full = 1
        ring.faults = [7, -errno.EAGAIN, -errno.EPIPE, 1000] + [size // 2] * 12
        sent = bench.engine.broadcast(list(zip(groups, frames, strict=True)))
        assert sent == list(members)
        everybody = [
            (peer, frame) for each, frame in zip(peers, frames, strict=True) for peer in each
        ]
        for place, (peer, frame) in enumerate(everybody):
            if place == 2:
                await peer.lost.wait()
            else:
                assert await peer.read(len(frame)) == frame
                assert not peer.failures
        assert not ring.faults

    run(scenario)


def test_a_broken_connection_is_reported_once_and_harms_nobody() -> None:
    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        peers = [await bench.connect() for _ in range(40)]
        ring.faults = [-errno.EPIPE]
        data = noise(1000)
        bench.send(bench.group(peers), data)
        await peers[0].lost.wait()
        assert [type(error) for error in peers[0].failures] == [BrokenPipeError]
        for peer in peers[1:]:
            assert await peer.read(1000) == data
            assert not peer.failures

    run(scenario)


@pytest.mark.parametrize("together", [4, 40])
def test_a_reset_connection_harms_nobody(together: int) -> None:
    """It is found out by the send itself, whether they are written to one by one or not."""

    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        peers = [await bench.connect() for _ in range(together)]
        broken = peers.pop(2)
        group = bench.group([*peers[:2], broken, *peers[2:]])
        broken.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        broken.far.close()
        for number in range(3):
            data = noise(1000, number)
            bench.send(group, data)
            for peer in peers:
                assert await peer.read(1000) == data
        (error,) = broken.failures
        assert isinstance(error, ConnectionError)
        for peer in peers:
            assert not peer.failures
            await peer.nothing_more()

    run(scenario)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    while not condition():
        await asyncio.sleep(0)


def test_slow_client_deadline() -> None:
    """Who does not read shows no progress; its end takes its frame along, and nobody else."""

    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        slow, *others = peers = [await bench.connect() for _ in range(40)]
        group = bench.group(peers)
        data = noise(HUGE)
        references = sys.getrefcount(data)
        bench.send(group, data)
        await asyncio.gather(*(peer.read(HUGE) for peer in others))
        await until(lambda: all(peer.channel.idle for peer in others))
        progress = slow.channel.progress()
        for number in range(10):
            frame = noise(1000, number)
            assert bench.send(group, frame) == len(others)
            for peer in others:
                assert await peer.read(1000) == frame
        assert slow.behind == 1
        assert not slow.channel.idle
        assert slow.channel.progress() == progress
        # What the deadline does.
        slow.transport.abort()
        await slow.lost.wait()
        await until(lambda: sys.getrefcount(data) == references)
        assert bench.send(group, noise(1000)) == len(others)

    run(scenario)


def test_buffer_lifetime() -> None:
    """A frame outlives its channel until the last operation has said that it is over."""

    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        peers = [await bench.connect() for _ in range(40)]
        data = noise(HUGE)
        references = sys.getrefcount(data)
        bench.send(bench.group(peers), data)
        with ring.late():
            for peer in peers:
                peer.channel.release()
                peer.transport.abort()
                await peer.lost.wait()
            assert sys.getrefcount(data) == references + len(peers)
        await until(lambda: sys.getrefcount(data) == references)

    run(scenario)


def test_fd_reuse() -> None:
    """A late completion does not reach the next channel of the same descriptor's number."""

    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        old = await bench.connect()
        descriptor, tag = old.fileno(), old.channel.tag  # type: ignore[attr-defined]
        with ring.late():
            old.channel.send(b"old" * HUGE)
            old.channel.release()
            old.transport.abort()
            await old.lost.wait()
            await until(lambda: not is_open(descriptor))
            new = await bench.connect(descriptor=descriptor)
            assert new.fileno() == descriptor
            assert new.channel.tag != tag  # type: ignore[attr-defined]
            data = noise(HUGE)
            new.channel.send(data)
        received, _ = await asyncio.gather(new.read(HUGE), new.idle())
        assert received == data
        assert new.idles == 1
        await new.nothing_more()

    run(scenario)


def test_uring_eventloop_wake() -> None:
    """Nothing but the ring wakes the loop when a slow peer has taken its frame."""

    async def scenario(bench: Bench, ring: FaultyRing) -> None:
        peer = await bench.connect()
        data = noise(HUGE)
        peer.channel.send(data)
        read = asyncio.to_thread(_read_all, peer, HUGE)
        reading = asyncio.ensure_future(read)
        await peer.idle()
        assert await reading == data
        before = ring.flushes
        for _ in range(100):
            await asyncio.sleep(0)
        assert ring.flushes == before, "somebody polls"

    run(scenario)


def _read_all(peer: Peer, count: int) -> bytes:
    """Read in a thread, so that the loop has nothing to do with it."""
    with os.fdopen(os.dup(peer.far.fileno()), "rb") as file:
        os.set_blocking(file.fileno(), True)
        return file.read(count)


def test_more_completions_than_the_queue_holds_are_all_seen() -> None:
    ring = Ring(64, 256)
    entries = np.zeros(2000, abi.SQE)
    entries["user_data"] = range(2000)
    assert ring.submit(memoryview(entries.tobytes())) == 2000
    assert [tag for tag, _, _ in ring.completions()] == list(range(2000))
    ring.close()


def test_a_used_slot_gets_another_tag() -> None:
    old, new = pack_tag(5, 1), pack_tag(5, 2)
    assert slot_of(old) == slot_of(new) == 5
    assert old != new
    assert send_entry(new, 3, 0, 0)[8] == new
