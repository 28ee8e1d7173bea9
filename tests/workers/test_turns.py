"""When a fan-out lets others run: between batches of large frames, and for how long."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.contracts.test_engine import Bench, Peer, noise
from tests.platforms import WINDOWS

if WINDOWS:
    pytest.skip("optional: io_uring is Linux's", allow_module_level=True)

import fcntl
import termios

import uvloop

from workers.engines.uring.engine import UringEngine
from workers.engines.uring.turns import Turns

BATCH = 0.0004


class Host:
    """A processor on which others run for so long whenever they may."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.others = 0.0
        self.away = 0.0
        self.turns = Turns(self.run_others, lambda: self.now)

    def run_others(self) -> None:
        self.now += self.others
        self.away += self.others

    def fan_out(self, batches: int = 10) -> int:
        """How many turns others had."""
        self.turns.begin()
        given, had = 0, self.away
        for _ in range(batches):
            self.now += BATCH
            self.turns.give()
            given += self.away > had
            had = self.away
        # What the worker does until the next frame is no sending.
        self.now += 0.02
        return given


@pytest.fixture
def host() -> Host:
    return Host()


def test_readers_who_take_less_than_the_sending_always_go_first(host: Host) -> None:
    host.others = BATCH / 2
    assert [host.fan_out() for _ in range(1000)] == [10] * 1000


@pytest.mark.parametrize("batches", [1, 2, 10])
def test_one_who_computes_costs_little(host: Host, batches: int) -> None:
    """Three slices in ten seconds."""
    host.others = 0.004
    began = host.now
    while host.now < began + 60:
        host.fan_out(batches)
    assert 3 <= round(host.away / host.others) <= 18


def test_turns_are_given_again_when_it_has_gone(host: Host) -> None:
    host.others = 0.004
    host.fan_out()
    host.others = BATCH / 2
    assert host.fan_out() == 0
    host.now += 10
    assert host.fan_out() == 10


def test_a_slice_now_and_then_is_no_reason_to_stop(host: Host) -> None:
    for _ in range(100):
        host.others = 0.004
        assert host.fan_out(1) == 1
        host.others = BATCH / 2
        assert host.fan_out(50) == 50


def test_years_of_sending_and_idle_time_save_up_no_more(host: Host) -> None:
    """Of 10 ms, with what the batches earn meanwhile, the third slice is the last."""
    host.others = BATCH / 2
    for _ in range(1000):
        host.fan_out()
    host.others = 0.004
    for _ in range(10):
        host.now += 3600
        assert host.fan_out() == 3


@pytest.mark.parametrize(("size", "expected"), [(1 << 16, [16, 32]), (1 << 14, [])])
def test_readers_of_large_frames_go_first(size: int, expected: list[int]) -> None:
    """In the middle of a fan-out those who have been sent a frame can read all of it."""
    peers: list[Peer] = []
    others: list[Peer] = []
    able: list[int] = []

    def queued(peer: Peer) -> int:
        return int.from_bytes(fcntl.ioctl(peer.far, termios.FIONREAD, bytes(4)), sys.byteorder)

    def let_run() -> None:
        batch = peers[16 * len(able) :][:16]
        # Under load, loopback delivers a moment later.
        while any(queued(peer) < size for peer in batch) or not all(map(queued, others)):
            pass
        able.append(sum(queued(peer) > 0 for peer in peers))

    async def scenario() -> None:
        async with asyncio.timeout(30), Bench(UringEngine(turns=Turns(let_run))) as bench:
            peers.extend([await bench.connect(buffer=1 << 18) for _ in range(40)])
            others.extend([await bench.connect() for _ in range(40)])
            data, small = noise(size), noise(1000)
            bench.engine.broadcast([(bench.group(peers), data), (bench.group(others), small)])
            assert able == expected
            for peer in peers:
                assert await peer.read(size) == data
            for peer in others:
                assert await peer.read(len(small)) == small

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
