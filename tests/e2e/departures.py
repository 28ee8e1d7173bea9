"""The ways in which a browser leaves, on plain sockets that hide nothing.

Each coroutine connects, does what its name says, and returns when its side is over: for
those that leave without a word this is at once, for silence when the relay hangs up.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from tests.e2e import wire
from tests.e2e.raw_client import RawClient
from tests.e2e.viewers import Address

__all__ = ["ALL_WAYS", "Way"]

_SMALL: Final = 4096
_LIMIT: Final = 60.0


Way = Callable[[Address, str], Awaitable[None]]


async def close_then_fin(address: Address, stream: str) -> None:
    """The orderly way: Close, read until the relay has finished, FIN."""
    client = await RawClient.connect(address)
    try:
        await client.open(f"/view/{stream}")
        await client.send(wire.close_frame(1001))
        await client.to_the_end()
    finally:
        client.close()


async def fin_at_once(address: Address, stream: str) -> None:
    """Half-close without any Close frame, then read to the end."""
    client = await RawClient.connect(address)
    try:
        await client.open(f"/view/{stream}")
        client.sock.shutdown(socket.SHUT_WR)
        await client.to_the_end()
    finally:
        client.close()


async def close_then_rst(address: Address, stream: str) -> None:
    """A reloaded tab: Close, and gone at once with video unread, which resets."""
    client = await RawClient.connect(address, receive_buffer=_SMALL)
    try:
        await client.open(f"/view/{stream}")
        await client.receive(1)
        await client.send(wire.close_frame(1001))
    finally:
        client.close()


async def bare_rst(address: Address, stream: str) -> None:
    """A killed browser: nothing but a reset."""
    client = await RawClient.connect(address)
    await client.open(f"/view/{stream}")
    client.reset()


async def rst_before_the_handshake(address: Address, stream: str) -> None:
    """Connected, and gone before a byte was sent."""
    (await RawClient.connect(address)).reset()


async def rst_amid_the_handshake(address: Address, stream: str) -> None:
    """Gone with half of the request sent."""
    client = await RawClient.connect(address)
    await client.send(wire.request(f"/view/{stream}", "relay")[:70])
    client.reset()


async def rst_behind_the_request(address: Address, stream: str) -> None:
    """Gone while the relay answers the request."""
    client = await RawClient.connect(address)
    await client.send(wire.request(f"/view/{stream}", "relay"))
    client.reset()


async def silence_amid_the_handshake(address: Address, stream: str) -> None:
    """Half a request, then nothing: ended by the relay's header timeout."""
    await _until_dropped(address, wire.request(f"/view/{stream}", "relay")[:70], read=True)


async def silence_without_a_request(address: Address, stream: str) -> None:
    """A connection that a browser opened ahead of need and never uses."""
    await _until_dropped(address, b"", read=True)


async def silence_without_reading(address: Address, stream: str) -> None:
    """A frozen tab: reads nothing any more, says nothing; ended by the progress deadline."""
    await _until_dropped(address, wire.request(f"/view/{stream}", "relay"), read=False)


async def silence_while_reading(address: Address, stream: str) -> None:
    """A peer that reads but answers no ping; no stream keeps it busy."""
    await _until_dropped(address, wire.request("/view/nobody-publishes-this", "relay"), read=True)


async def _until_dropped(address: Address, said: bytes, *, read: bool) -> None:
    client = await RawClient.connect(address, receive_buffer=0 if read else _SMALL)
    try:
        await client.send(said)
        if read:
            await client.to_the_end()
        else:
            await _hang_up(client.sock)
    except ConnectionResetError:
        pass
    finally:
        client.close()


async def _hang_up(sock: socket.socket) -> None:
    """Wait for a reset without reading: it shows as an error of the socket."""
    async with asyncio.timeout(_LIMIT):
        while not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            await asyncio.sleep(0.1)


ALL_WAYS: Final[tuple[Way, ...]] = (
    close_then_fin,
    fin_at_once,
    close_then_rst,
    bare_rst,
    rst_before_the_handshake,
    rst_amid_the_handshake,
    rst_behind_the_request,
    silence_amid_the_handshake,
    silence_without_a_request,
    silence_without_reading,
    silence_while_reading,
)
