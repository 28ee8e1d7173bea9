"""The contract of `workers.engines.interface`, for every engine on every loop it runs on."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import random
import socket
import sys
import tracemalloc
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self, cast

import pytest

from tests.platforms import RESET, WINDOWS, posix_only
from workers.engines.asyncio_engine import AsyncioEngine
from workers.engines.interface import Channel, Engine, Group

if sys.platform != "win32":
    import uvloop

    from workers.engines.uring.engine import UringEngine

HUGE = 8 << 20
WATCHDOG = 30.0


@dataclass(frozen=True)
class Case:
    """An engine on a loop.

    Attributes:
        name: for the test's id.
        engine: makes the engine, within the loop.
        loop: makes the loop.
        shares: whether all channels refer to the caller's one buffer.
    """

    name: str
    engine: Callable[[], Engine]
    loop: Callable[[], asyncio.AbstractEventLoop]
    shares: bool = True


if sys.platform == "win32":
    CASES = [Case("asyncio on Proactor", AsyncioEngine, asyncio.ProactorEventLoop)]
else:
    # Before 3.12 the selector loop's transport copies what the kernel did not take.
    _SELECTOR_SHARES = sys.version_info >= (3, 12)
    CASES = [
        Case("asyncio on uvloop", AsyncioEngine, uvloop.new_event_loop),
        Case("asyncio on asyncio", AsyncioEngine, asyncio.new_event_loop, _SELECTOR_SHARES),
        Case("uring on uvloop", UringEngine, uvloop.new_event_loop),
        Case("uring on asyncio", UringEngine, asyncio.new_event_loop),
    ]
SHARING = [case for case in CASES if case.shares]
# A socketpair of Windows is a TCP connection, too.
LINKS = {"TCP": True} if WINDOWS else {"TCP": True, "socketpair": False}


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that nobody else refers to, and of which no part looks like another."""
    return random.Random(seed).randbytes(size)


class Peer(asyncio.Protocol):
    """One connection as `workers.connection` drives it: an owner, its channel, the far end.

    Attributes:
        far: the viewer's socket, non-blocking; nothing is read from it unless a test does.
        idles: how often ``channel_idle`` was called.
        behind: how often ``channel_behind`` was.
        failures: errors that ``channel_failed`` told of.
        on_idle: called then.
    """

    channel: Channel

    def __init__(self, engine: Engine, far: socket.socket) -> None:
        self.far = far
        self.idles = 0
        self.on_idle: Callable[[], None] = lambda: None
        self._engine = engine
        self._idle = asyncio.Event()
        self.made = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.behind = 0
        self.failures: list[OSError] = []
        self.channel = self._engine.adopt(self.transport, self)
        self.made.set()

    def pause_writing(self) -> None:
        self.channel.pause_writing()

    def resume_writing(self) -> None:
        self.channel.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.channel.release()
        self.lost.set()

    def channel_idle(self) -> None:
        self.idles += 1
        self._idle.set()
        self.on_idle()

    def eof_received(self) -> bool:
        self.channel.close()
        return True

    def channel_behind(self) -> None:
        self.behind += 1

    def channel_failed(self, error: OSError) -> None:
        self.failures.append(error)
        self.transport.abort()

    async def idle(self) -> None:
        """Wait for the next ``channel_idle``."""
        self._idle.clear()
        await self._idle.wait()

    async def settled(self) -> None:
        """Let the loop see what the kernel took at once: Proactor does in its next turn."""
        while WINDOWS:
            await asyncio.sleep(0)
            if self.channel.idle:
                break

    async def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes at the far end."""
        loop = asyncio.get_running_loop()
        parts, missing = [], count
        while missing:
            part = await loop.sock_recv(self.far, min(missing, 1 << 20))
            assert part, f"the stream ended {missing} bytes early"
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    async def read_end(self) -> bytes:
        """Everything up to FIN."""
        parts = []
        while part := await asyncio.get_running_loop().sock_recv(self.far, 1 << 20):
            parts.append(part)
        return b"".join(parts)

    async def nothing_more(self) -> None:
        """What was read is all: a mark sent now is the next to arrive."""
        self.channel.control(b"[mark]")
        assert await self.read(6) == b"[mark]"

    def fileno(self) -> int:
        sock = self.transport.get_extra_info("socket")
        return int(sock.fileno())


class Bench:
    """An engine and its connections within one running loop."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.peers: list[Peer] = []
        self.errors: list[dict[str, Any]] = []
        self._sockets = contextlib.ExitStack()

    async def connect(
        self, *, tcp: bool = True, buffer: int = 64 << 10, descriptor: int = -1
    ) -> Peer:
        """One more connection, over TCP loopback or a socketpair.

        Args:
            tcp: which of them.
            buffer: bytes of the server's send and the viewer's receive buffer; without a bound
                loopback swallows whole frames of any size.
            descriptor: number that the server's socket shall have.
        """
        if descriptor >= 0:
            # Take the number, or the pair's other sockets would.
            placeholder = os.open(os.devnull, os.O_RDONLY)
            if placeholder != descriptor:
                os.dup2(placeholder, descriptor)
                os.close(placeholder)
        near, far = _tcp_pair(buffer) if tcp else socket.socketpair()
        self._sockets.callback(far.close)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        if descriptor >= 0:
            os.dup2(near.fileno(), descriptor)
            near.close()
            near = socket.socket(fileno=descriptor)
        near.setblocking(False)
        far.setblocking(False)
        peer = Peer(self.engine, far)
        self.engine.attach(near, peer)
        await peer.made.wait()
        self.peers.append(peer)
        return peer

    def group(self, peers: Iterable[Peer]) -> Group:
        """A group with these as its members."""
        group = self.engine.group()
        for peer in peers:
            group.add(peer.channel)
        return group

    def send(self, group: Group, data: bytes) -> int:
        """Send a group a frame; to how many."""
        return self.engine.broadcast([(group, data)])[0]

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.errors.append(context))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for peer in self.peers:
            if not peer.lost.is_set():
                peer.channel.release()
                peer.transport.abort()
        for peer in self.peers:
            await peer.lost.wait()
        self.engine.close()
        self._sockets.close()
        # E.g. an exception in a callback that touched a channel of the dead.
        assert not self.errors, self.errors


def _tcp_pair(receive_buffer: int) -> tuple[socket.socket, socket.socket]:
    far = socket.socket()
    # Before connecting: it decides about the window.
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far.connect(listener.getsockname())
        near, _ = listener.accept()
    return near, far


Scenario = Callable[[Bench], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    """An engine on a loop."""
    found: Case = request.param
    return found


@pytest.fixture
def run(case: Case) -> Iterator[Run]:
    """Runs a test's coroutine on a fresh loop, engine and bench."""

    async def guarded(scenario: Scenario) -> None:
        async with asyncio.timeout(WATCHDOG), Bench(case.engine()) as bench:
            await scenario(bench)

    with asyncio.Runner(loop_factory=case.loop) as runner:
        yield lambda scenario: runner.run(guarded(scenario))


@pytest.mark.parametrize("tcp", LINKS.values(), ids=LINKS)
class TestDelivery:
    """Frames arrive whole, byte by byte the same, in order."""

    @pytest.mark.parametrize("size", [1, 125, 65_536, 1 << 20, HUGE])
    def test_a_frame_arrives_unchanged(self, run: Run, tcp: bool, size: int) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            data = noise(size)
            peer.channel.send(data)
            assert await peer.read(size) == data
            await peer.nothing_more()

        run(scenario)

    def test_frames_sent_whenever_idle_arrive_in_order(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            frames = [noise(size, size) for size in (3_000_000, 10, 500_000, 70_000, 2_000_000, 1)]
            waiting = iter(frames)

            def send_on() -> None:
                # From within the callback, as a hub does.
                while peer.channel.idle and (frame := next(waiting, None)) is not None:
                    peer.channel.send(frame)

            peer.on_idle = send_on
            send_on()
            expected = b"".join(frames)
            assert await peer.read(len(expected)) == expected
            await peer.nothing_more()

        run(scenario)

    def test_a_broadcast_reaches_everybody(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peers = [await bench.connect(tcp=tcp) for _ in range(40)]
            group = bench.group(peers)
            for number in range(5):
                data = noise(20_000, number)
                assert bench.send(group, data) == 40
                await asyncio.gather(*(peer.settled() for peer in peers))
                assert all(peer.channel.idle for peer in peers)
                for peer in peers:
                    assert await peer.read(len(data)) == data

        run(scenario)

    def test_fin_comes_after_everything(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            data = noise(HUGE)
            peer.channel.send(data)
            peer.channel.control(b"[last words]")
            peer.channel.finish()
            assert await peer.read_end() == data + b"[last words]"

        run(scenario)

    def test_fin_of_an_idle_channel(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            peer.channel.finish()
            assert await peer.read_end() == b""

        run(scenario)


@pytest.mark.parametrize("tcp", LINKS.values(), ids=LINKS)
class TestBusy:
    """A channel has one frame in flight, and its owner hears of its end once."""

    def test_what_the_kernel_takes_at_once_is_no_busy_period(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            for _ in range(10):
                assert peer.channel.send(noise(1000))
                assert peer.channel.idle
                assert peer.channel.unsent() == 0
                await peer.settled()
            await peer.read(10_000)
            await peer.nothing_more()
            assert peer.idles == 0

        run(scenario)

    def test_what_it_does_not_take_is_reported_once(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            for period in range(1, 6):
                assert not peer.channel.send(noise(HUGE))
                assert not peer.channel.idle
                assert 0 < peer.channel.unsent() <= HUGE
                assert peer.idles == period - 1
                await asyncio.gather(peer.read(HUGE), peer.idle())
                assert peer.idles == period
                assert peer.channel.idle
                assert peer.channel.unsent() == 0
            await peer.nothing_more()
            assert peer.idles == 5

        run(scenario)

    def test_a_broadcast_puts_out_the_busy_ones(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            roomy = [await bench.connect(tcp=tcp, buffer=1 << 20) for _ in range(20)]
            tight = [await bench.connect(tcp=tcp, buffer=4096) for _ in range(20)]
            group = bench.group(peer for pair in zip(roomy, tight, strict=True) for peer in pair)
            assert bench.send(group, noise(60_000)) == len(roomy) + len(tight)
            assert all(peer.channel.idle for peer in roomy)
            assert not any(peer.channel.idle for peer in tight)
            # The next frame passes by who still has the last one to take.
            assert bench.send(group, b"next") == len(group) == len(roomy)
            assert [peer.behind for peer in roomy + tight] == [0] * len(roomy) + [1] * len(tight)
            for peer in tight:
                await asyncio.gather(peer.read(60_000), peer.idle())
                await peer.nothing_more()
            for peer in roomy:
                assert (await peer.read(60_004)).endswith(b"next")
            # Of members' completions nobody is told.
            assert [peer.idles for peer in roomy + tight] == [0] * len(roomy) + [1] * len(tight)

        run(scenario)

    def test_several_groups_at_once(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peers = [
                [
                    await bench.connect(tcp=tcp, buffer=4096 if number % 3 == 1 else 1 << 20)
                    for number in range(members)
                ]
                for members in (1, 5, 20)
            ]
            groups = [bench.group(members) for members in peers]
            frames = [noise(60_000 + number, number) for number in range(3)]
            sent = bench.engine.broadcast(list(zip(groups, frames, strict=True)))
            assert sent == [1, 5, 20]
            # Whoever has room has the next one right behind it.
            idle = [[peer.channel.idle for peer in members] for members in peers]
            assert [sum(members) for members in idle] == [1, 3, 13]
            following = [b"1", b"22", b"333"]
            sent = bench.engine.broadcast(list(zip(groups, following, strict=True)))
            assert sent == [1, 3, 13]
            for number, members in enumerate(peers):
                for peer, had_room in zip(members, idle[number], strict=True):
                    expected = frames[number] + following[number] * had_room
                    assert await peer.read(len(expected)) == expected
                    assert peer.behind == (not had_room)

        run(scenario)

    def test_a_broadcast_to_nobody(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            empty = bench.engine.group()
            peer = await bench.connect(tcp=tcp)
            assert bench.engine.broadcast([]) == []
            assert bench.send(empty, b"none") == 0
            group = bench.group([peer])
            assert bench.engine.broadcast([(empty, b"none"), (group, b"one")]) == [0, 1]
            assert await peer.read(3) == b"one"
            await peer.nothing_more()

        run(scenario)

    def test_without_progress_nothing_changes(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            stalled, lively = await bench.connect(tcp=tcp), await bench.connect(tcp=tcp)
            stalled.channel.send(noise(HUGE))
            for _ in range(5):
                lively.channel.send(noise(HUGE))
                await asyncio.gather(lively.read(HUGE), lively.idle())
            assert stalled.idles == 0
            assert not stalled.channel.idle

        run(scenario)


def test_progress_shows_while_a_frame_is_in_flight(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        peer = await bench.connect()
        peer.channel.send(noise(HUGE))
        before = peer.channel.progress()
        await peer.read(HUGE // 2)
        while peer.channel.progress() <= before:
            await asyncio.sleep(0)
        assert not peer.channel.idle
        await asyncio.gather(peer.read(HUGE - HUGE // 2), peer.idle())

    run(scenario)


@pytest.mark.parametrize("tcp", LINKS.values(), ids=LINKS)
class TestControl:
    """Control messages go between frames, in order."""

    def test_of_an_idle_channel_they_go_at_once(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            peer.channel.control(b"[one]")
            peer.channel.control(b"[two]")
            assert await peer.read(10) == b"[one][two]"

        run(scenario)

    def test_they_wait_for_the_frame_in_flight(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            first, second = noise(HUGE, 1), noise(HUGE, 2)

            def send_second() -> None:
                if peer.idles == 1:
                    peer.channel.send(second)

            peer.on_idle = send_second
            peer.channel.send(first)
            for number in range(20):
                peer.channel.control(b"[%02d]" % number)
            controls = b"".join(b"[%02d]" % number for number in range(20))
            whole = first + controls + second
            assert await peer.read(len(whole)) == whole
            await peer.nothing_more()

        run(scenario)

    def test_they_are_part_of_the_busy_period(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            peer.channel.send(noise(HUGE))
            peer.channel.control(noise(HUGE))
            await peer.read(HUGE)
            assert peer.idles == 0
            await asyncio.gather(peer.read(HUGE), peer.idle())
            assert peer.idles == 1

        run(scenario)

    def test_a_large_one_makes_a_channel_busy(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            data = noise(HUGE)
            peer.channel.control(data)
            assert not peer.channel.idle
            received, _ = await asyncio.gather(peer.read(HUGE), peer.idle())
            assert received == data
            assert peer.channel.idle

        run(scenario)

    def test_a_frame_follows_a_control_message(self, run: Run, tcp: bool) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect(tcp=tcp)
            group = bench.group([peer])
            for number in range(50):
                peer.channel.control(b"[c%02d]" % number)
                await peer.settled()
                assert bench.send(group, b"<f%02d>" % number) == 1
                await peer.settled()
            expected = b"".join(b"[c%02d]<f%02d>" % (number, number) for number in range(50))
            assert await peer.read(len(expected)) == expected

        run(scenario)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


class TestRelease:
    """A channel that is gone is gone: for its owner, and for the next user of its number."""

    def test_a_released_owner_hears_nothing(self, run: Run) -> None:
        async def scenario(bench: Bench) -> None:
            peer, witness = await bench.connect(), await bench.connect()
            peer.channel.send(noise(HUGE))
            peer.channel.release()
            peer.transport.close()
            # What was in flight may still go out whole, or not at all.
            with contextlib.suppress(ConnectionError):
                await peer.read_end()
            await peer.lost.wait()
            witness.channel.send(noise(HUGE))
            await asyncio.gather(witness.read(HUGE), witness.idle())
            assert peer.idles == 0

        run(scenario)

    @posix_only
    def test_no_byte_crosses_to_a_reused_descriptor(self, run: Run) -> None:
        async def scenario(bench: Bench) -> None:
            for number in range(20):
                old = await bench.connect()
                old.channel.send(b"old" * (HUGE // 3))
                descriptor = old.fileno()
                old.channel.release()
                old.transport.abort()
                await old.lost.wait()
                while is_open(descriptor):
                    await asyncio.sleep(0)
                new = await bench.connect(descriptor=descriptor)
                assert new.fileno() == descriptor
                data = noise(100_000, number)
                new.channel.send(data)
                assert await new.read(len(data)) == data
                await new.nothing_more()

        run(scenario)

    def test_a_reset_of_one_harms_nobody(self, run: Run) -> None:
        async def scenario(bench: Bench) -> None:
            peers = [await bench.connect() for _ in range(39)]
            # One dies with a frame in flight, one while idle, one is closed from this side.
            in_flight, idle, closing = peers[1], peers[4], peers[7]
            in_flight.channel.send(noise(HUGE))
            reset(in_flight.far)
            reset(idle.far)
            closing.transport.abort()
            doomed = (in_flight, idle, closing)
            others = [peer for peer in peers if peer not in doomed]
            group = bench.group(peers)
            for number in range(20):
                data = noise(10_000, number)
                bench.send(group, data)
                for peer in others:
                    assert await peer.read(len(data)) == data
            for peer in doomed:
                await peer.lost.wait()

        run(scenario)


class TestBuffers:
    """Bytes in flight live until they are out, and are nobody's copy."""

    def test_the_caller_may_forget_them(self, run: Run) -> None:
        async def scenario(bench: Bench) -> None:
            peers = [await bench.connect() for _ in range(4)]
            data = noise(HUGE)
            digest = hashlib.sha256(data).digest()
            bench.send(bench.group(peers), data)
            del data
            gc.collect()
            # Memory that was freed by mistake is taken again at once.
            others = [b"\xff" * HUGE for _ in range(4)]
            for peer in peers:
                received = await peer.read(HUGE)
                assert hashlib.sha256(received).digest() == digest
            del others

        run(scenario)

    @pytest.mark.parametrize("case", SHARING, ids=lambda case: case.name, indirect=True)
    def test_two_hundred_channels_share_one_object(self, run: Run) -> None:
        async def scenario(bench: Bench) -> None:
            peers = [await bench.connect(buffer=8192) for _ in range(200)]
            data = noise(1 << 20)
            references = sys.getrefcount(data)
            tracemalloc.start()
            try:
                bench.send(bench.group(peers), data)
                grown, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert not any(peer.channel.idle for peer in peers)
            # Copies of what is left over would be 200 MiB.
            assert grown < 2 << 20
            # Proactor is given pieces of it, the same for all.
            assert sys.getrefcount(data) >= references + (1 if WINDOWS else 200)
            for peer in peers:
                peer.channel.release()
                peer.transport.abort()
                await peer.lost.wait()
            gc.collect()
            assert sys.getrefcount(data) == references

        run(scenario)

    def test_they_are_let_go_once_they_are_out(self, run: Run) -> None:
        async def scenario(bench: Bench) -> None:
            peer = await bench.connect()
            data = noise(HUGE)
            references = sys.getrefcount(data)
            peer.channel.send(data)
            received, _ = await asyncio.gather(peer.read(HUGE), peer.idle())
            assert received == data
            await peer.nothing_more()
            assert sys.getrefcount(data) == references

        run(scenario)
