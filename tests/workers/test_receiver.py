"""Receiving through one epoll: what a protocol hears, and that its faults are its own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.platforms import RESET, WINDOWS

if WINDOWS:
    pytest.skip("optional: epoll is Linux's", allow_module_level=True)

import uvloop

from workers.engines.uring.receiver import Receiver

WATCHDOG = 20.0


class Listener(asyncio.Protocol):
    """Notes what it hears.

    Attributes:
        far: the other end of its connection.
        heard: everything, in order.
        on_data: called with what comes.
        stays: what it answers to the peer's end.
    """

    transport: asyncio.Transport
    far: socket.socket

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.on_data: Callable[[bytes], object] = lambda data: None
        self.stays = False
        self.ended = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.heard.append("made")

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)
        self.on_data(data)

    def eof_received(self) -> bool:
        self.heard.append("eof")
        self.ended.set()
        return self.stays

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append(type(exc))
        self.lost.set()

    def abort(self) -> None:
        self.transport.abort()


class Scene:
    """A receiver and its connections."""

    def __init__(self) -> None:
        self.receiver = Receiver(asyncio.get_running_loop())
        self.listeners: list[Listener] = []
        self.errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, error: self.errors.append(error))

    def connect(self) -> Listener:
        listener = Listener()
        with socket.create_server(("127.0.0.1", 0)) as server:
            listener.far = socket.create_connection(server.getsockname())
            near, _ = server.accept()
        near.setblocking(False)
        self.listeners.append(listener)
        self.receiver.attach(near, listener)
        return listener

    async def close(self) -> None:
        for listener in self.listeners:
            listener.far.close()
            await listener.lost.wait()
        self.receiver.close()


Run = Callable[[Callable[[Scene], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    async def guarded(test: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.timeout(WATCHDOG):
            scene = Scene()
            await test(scene)
            await scene.close()

    with asyncio.Runner(loop_factory=request.param) as runner:
        yield lambda test: runner.run(guarded(test))


def test_bytes_then_the_end(run: Run) -> None:
    async def test(scene: Scene) -> None:
        listener = scene.connect()
        listener.far.sendall(b"abc")
        listener.far.close()
        await listener.lost.wait()
        assert listener.heard == ["made", b"abc", "eof", type(None)]
        assert listener.transport.get_extra_info("socket").fileno() == -1

    run(test)


def test_more_than_one_read_takes(run: Run) -> None:
    async def test(scene: Scene) -> None:
        listener = scene.connect()
        listener.far.setblocking(False)
        data = bytes(range(256)) * 4000
        await asyncio.get_running_loop().sock_sendall(listener.far, data)
        listener.far.close()
        await listener.lost.wait()
        assert b"".join(each for each in listener.heard if isinstance(each, bytes)) == data

    run(test)


def test_who_stays_after_the_peers_end_is_told_of_it_once(run: Run) -> None:
    async def test(scene: Scene) -> None:
        listener, other = scene.connect(), scene.connect()
        listener.stays = True
        listener.far.shutdown(socket.SHUT_WR)
        await listener.ended.wait()
        # Each of these is one more turn in which an end that is still watched would be told.
        came = asyncio.Event()
        other.on_data = lambda _: came.set()
        for _ in range(5):
            other.far.sendall(b"x")
            await came.wait()
            came.clear()
        assert listener.heard == ["made", "eof"]
        listener.transport.close()
        await listener.lost.wait()

    run(test)


def test_a_reset_is_an_error(run: Run) -> None:
    async def test(scene: Scene) -> None:
        listener = scene.connect()
        listener.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        listener.far.close()
        await listener.lost.wait()
        assert listener.heard == ["made", ConnectionResetError]

    run(test)


def test_a_fault_ends_its_own_connection_alone(run: Run) -> None:
    async def test(scene: Scene) -> None:
        def fail(_: bytes) -> None:
            raise ValueError("a fault")

        broken, sound = scene.connect(), scene.connect()
        broken.on_data = fail
        broken.far.sendall(b"x")
        sound.far.sendall(b"y")
        await broken.lost.wait()
        sound.far.close()
        await sound.lost.wait()
        assert sound.heard == ["made", b"y", "eof", type(None)]
        assert [str(error["exception"]) for error in scene.errors] == ["a fault"]

    run(test)


def test_who_is_aborted_by_another_hears_no_more(run: Run) -> None:
    async def test(scene: Scene) -> None:
        one, two = scene.connect(), scene.connect()
        one.on_data = lambda _: two.abort()
        two.on_data = lambda _: one.abort()
        # Both are there when the loop looks.
        one.far.sendall(b"x")
        two.far.sendall(b"x")
        first, second = await asyncio.wait_for(lost_first(one, two), WATCHDOG)
        assert first.heard == ["made", type(None)]
        assert second.heard == ["made", b"x"]

    async def lost_first(one: Listener, two: Listener) -> tuple[Listener, Listener]:
        waits = {asyncio.create_task(each.lost.wait()): each for each in (one, two)}
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        pending.pop().cancel()
        return (one, two) if waits[done.pop()] is one else (two, one)

    run(test)


def test_a_socket_that_cannot_be_watched_is_closed(run: Run, tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        listener, sock = Listener(), socket.socket()
        # epoll takes no plain file.
        with (tmp_path / "file").open("w") as file:
            os.dup2(file.fileno(), sock.fileno())
        scene.receiver.attach(sock, listener)
        assert listener.heard == [PermissionError]
        assert sock.fileno() == -1

    run(test)
