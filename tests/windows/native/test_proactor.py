"""What the Proactor loop does to connections, and what this project does about it."""

from __future__ import annotations

import asyncio
import socket
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from workers.engines.asyncio_engine import AsyncioEngine
from workers.engines.proactor_channel import ProactorChannel

assert sys.platform == "win32"

from workers.acceptor_windows import _Connection  # noqa: E402

FRAME = bytes(range(256)) * 400
LARGE = bytes(range(256)) * 4096


class Peer(asyncio.Protocol):
    """One connection, its channel and the far end.

    Attributes:
        heard: what the far end sent.
        lost: set when the loop has let go of the connection.
    """

    channel: ProactorChannel

    def __init__(self, far: socket.socket) -> None:
        self.far = far
        self.heard = b""
        self.idles = 0
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        channel = AsyncioEngine().adopt(self.transport, self)
        assert isinstance(channel, ProactorChannel)
        self.channel = channel

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def pause_writing(self) -> None:
        self.channel.pause_writing()

    def resume_writing(self) -> None:
        self.channel.resume_writing()

    def channel_idle(self) -> None:
        self.idles += 1

    def channel_behind(self) -> None:
        """It is in no group."""

    def channel_failed(self, error: OSError) -> None:
        """Its transport tells by itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.channel.release()
        self.lost.set()


async def connect(kind: type[socket.socket] = _Connection) -> tuple[Peer, socket.socket]:
    """A peer, and its socket on this side."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near = kind(fileno=listener.accept()[0].detach())
    near.setblocking(False)
    far.setblocking(False)
    peer = Peer(far)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: peer, near)
    return peer, near


def run(test: Callable[[list[dict[str, Any]]], Awaitable[None]]) -> None:
    """Run on a Proactor loop; the test is given what the loop complains of."""

    async def main() -> None:
        complaints: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        await test(complaints)

    asyncio.run(main())


async def read(sock: socket.socket, count: int) -> bytes:
    """So many bytes, or fewer at the end."""
    parts: list[bytes] = []
    while count:
        part = await asyncio.get_running_loop().sock_recv(sock, min(count, 1 << 20))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def refuse_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    def shutdown(self: socket.socket, how: int) -> None:
        raise ConnectionResetError(10054, "reset by peer")

    monkeypatch.setattr(socket.socket, "shutdown", shutdown)


def test_a_socket_is_closed_although_its_shutdown_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(complaints: list[dict[str, Any]]) -> None:
        peer, near = await connect()
        refuse_shutdown(monkeypatch)
        peer.far.close()
        await peer.lost.wait()
        await asyncio.sleep(0)
        assert near.fileno() == -1
        assert complaints == []

    run(test)


def test_control_without_us_it_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(complaints: list[dict[str, Any]]) -> None:
        peer, near = await connect(socket.socket)
        refuse_shutdown(monkeypatch)
        peer.far.close()
        await peer.lost.wait()
        await asyncio.sleep(0)
        assert near.fileno() != -1
        assert [type(found["exception"]) for found in complaints] == [ConnectionResetError]
        near.close()
        # The transport would complain of it when it goes.
        setattr(peer.transport, "_sock", None)  # noqa: B010

    run(test)


def test_every_viewer_is_sent_the_very_same_object(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(complaints: list[dict[str, Any]]) -> None:
        proactor: Any = getattr(asyncio.get_running_loop(), "_proactor")  # noqa: B009
        sent: list[Any] = []
        send = proactor.send

        def record(conn: Any, buffer: Any, flags: int = 0) -> Any:
            sent.append(buffer)
            return send(conn, buffer, flags)

        monkeypatch.setattr(proactor, "send", record)
        peers = [(await connect())[0] for _ in range(20)]
        second = FRAME[::-1]
        for peer in peers:
            peer.channel.send(FRAME)
        # In the same turn, while the loop has yet to see that the first is out.
        late = [peer for peer in peers if peer.channel.idle]
        for peer in late:
            assert not peer.channel.send(second)
            peer.channel.control(b"[control]")
        for peer in peers:
            expected = FRAME + (second + b"[control]" if peer in late else b"")
            assert await read(peer.far, len(expected)) == expected
        frames = [buffer for buffer in sent if len(buffer) == len(FRAME)]
        assert len(frames) == len(peers) + len(late)
        assert all(buffer is FRAME or buffer is second for buffer in frames)
        for peer in peers:
            peer.far.close()
            await peer.lost.wait()

    run(test)


def test_a_large_frame_is_one_for_all_of_two_hundred() -> None:
    """Its pieces, too, are cut only once, and who is busy keeps nothing of its own."""

    async def test(complaints: list[dict[str, Any]]) -> None:
        peers = [(await connect())[0] for _ in range(200)]
        references = sys.getrefcount(LARGE)
        tracemalloc.start()
        try:
            for peer in peers:
                peer.channel.send(LARGE)
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len([peer for peer in peers if not peer.channel.idle]) > 100
        assert grown < 5 << 20
        for peer in peers:
            assert await read(peer.far, len(LARGE)) == LARGE
            peer.far.close()
        for peer in peers:
            await peer.lost.wait()
        assert sys.getrefcount(LARGE) == references

    run(test)


def test_a_viewer_that_takes_a_large_frame_slowly_is_seen_to_take_it() -> None:
    async def test(complaints: list[dict[str, Any]]) -> None:
        peer, _ = await connect()
        whole = LARGE * 8
        peer.channel.send(whole)
        seen = {peer.channel.unsent()}
        for _ in range(8):
            assert await read(peer.far, len(LARGE)) == LARGE
            await asyncio.sleep(0)
            seen.add(peer.channel.unsent())
        while not peer.channel.idle:
            await asyncio.sleep(0.01)
        assert len(seen) > 4
        assert peer.idles == 1
        peer.far.close()
        await peer.lost.wait()

    run(test)


def test_fin_leaves_the_way_back_open() -> None:
    async def test(complaints: list[dict[str, Any]]) -> None:
        peer, near = await connect()
        peer.channel.send(LARGE)
        peer.channel.control(b"[last]")
        peer.channel.finish()
        whole = await read(peer.far, 1 << 30)
        assert whole == LARGE + b"[last]"
        # A transport that was closed would answer this with a reset.
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer.far, b"one")
        await loop.sock_sendall(peer.far, b"two")
        peer.far.close()
        await peer.lost.wait()
        assert peer.heard == b"onetwo"
        await asyncio.sleep(0)
        assert near.fileno() == -1
        assert complaints == []

    run(test)
