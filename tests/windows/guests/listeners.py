"""Guests that serve one listening socket together, in ways that fail and in one that works."""

from __future__ import annotations

import _overlapped  # type: ignore[import-not-found]
import asyncio
import os
import socket
import sys
from typing import Any

assert sys.platform == "win32"

_CANCELLED = 995  # ERROR_OPERATION_ABORTED


def _say(line: object) -> None:
    print(line, flush=True)


async def _heard() -> str:
    """A line of standard input, without holding the loop up."""
    return await asyncio.to_thread(sys.stdin.readline)


def open_listener() -> socket.socket:
    """A listening socket on a free port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.setblocking(False)
    return listener


def take_listener() -> socket.socket:
    """The listener that another guest gives to this one."""
    _say(os.getpid())
    listener = socket.fromshare(bytes.fromhex(sys.stdin.readline()))
    listener.setblocking(False)
    return listener


def give_listener(listener: socket.socket, takers: int) -> None:
    """Duplicate a listener into other guests, whose process ids are typed in."""
    _say(listener.getsockname()[1])
    for _ in range(takers):
        _say(listener.share(int(sys.stdin.readline())).hex())


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello\n")
    writer.close()


class _Complaints:
    """What the loop complained of."""

    def __init__(self) -> None:
        self.winerrors: list[int | None] = []
        asyncio.get_running_loop().set_exception_handler(self._take)

    def _take(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.winerrors.append(getattr(context.get("exception"), "winerror", None))


async def serve_with_asyncio(takers: int) -> list[int | None]:
    """`asyncio.start_server` on a listener that is given to others, until a line is typed.

    Says "serving" when it does. Returns the WinErrors that the loop complained of.
    """
    complaints = _Complaints()
    listener = open_listener()
    give_listener(listener, takers)
    server = await asyncio.start_server(_answer, sock=listener)
    return await _serve_until_told(server, complaints)


async def serve_a_duplicate_with_asyncio() -> list[int | None]:
    """As `serve_with_asyncio`, on the listener of somebody else."""
    complaints = _Complaints()
    server = await asyncio.start_server(_answer, sock=take_listener())
    return await _serve_until_told(server, complaints)


async def _serve_until_told(server: asyncio.Server, complaints: _Complaints) -> list[int | None]:
    # The first accept is begun by a callback.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    _say("serving")
    await _heard()
    server.close()
    return complaints.winerrors


async def serve_with_events(takers: int) -> dict[str, int]:
    """Accept with an event for each, from a listener that is given to others."""
    listener = open_listener()
    give_listener(listener, takers)
    return await _accept_with_events(listener)


async def serve_a_duplicate_with_events() -> dict[str, int]:
    """As `serve_with_events`, on the listener of somebody else."""
    return await _accept_with_events(take_listener())


class _Greeter(asyncio.Protocol):
    """Says one line and leaves."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello\n")
        transport.close()


async def _accept_with_events(listener: socket.socket) -> dict[str, int]:
    """AcceptEx on an OVERLAPPED that carries an event; the listener is bound to no port."""
    loop = asyncio.get_running_loop()
    counts = {"accepted": 0, "errors": 0, "cancelled": 0}
    told = asyncio.ensure_future(_heard())
    _say("serving")
    while not told.done():
        connection = socket.socket(listener.family)
        try:
            await _accept_with_event(listener, connection, told)
            connection.setblocking(False)
            await loop.connect_accepted_socket(_Greeter, sock=connection)
        except OSError as exc:
            counts["cancelled" if exc.winerror == _CANCELLED else "errors"] += 1
            connection.close()
        else:
            counts["accepted"] += 1
    listener.close()
    return counts


async def _accept_with_event(
    listener: socket.socket, connection: socket.socket, stop: asyncio.Future[str]
) -> None:
    loop = asyncio.get_running_loop()
    proactor: Any = getattr(loop, "_proactor")  # noqa: B009
    # It makes an event of its own, and closes it when it goes.
    overlapped = _overlapped.Overlapped()
    overlapped.AcceptEx(listener.fileno(), connection.fileno())
    ready = proactor.wait_for_handle(overlapped.event)
    await asyncio.wait((ready, stop), return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        overlapped.cancel()
        await ready
    overlapped.getresult(True)
    handle = listener.fileno().to_bytes(8, "little")
    connection.setsockopt(socket.SOL_SOCKET, _overlapped.SO_UPDATE_ACCEPT_CONTEXT, handle)
