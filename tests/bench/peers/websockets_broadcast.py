"""`websockets` and its `broadcast`, on uvloop: what one writes on an afternoon."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from tests.bench.program import run, version


async def main(port: int) -> None:
    """Serve until killed."""
    viewers: defaultdict[str, set[ServerConnection]] = defaultdict(set)

    async def handle(peer: ServerConnection) -> None:
        assert peer.request is not None
        _, role, stream = peer.request.path.split("/")
        if role == "publish":
            async for message in peer:
                broadcast(viewers[stream], message)
            return
        viewers[stream].add(peer)
        try:
            await peer.wait_closed()
        finally:
            viewers[stream].discard(peer)

    async with serve(handle, "127.0.0.1", port, compression=None, backlog=4096):
        await asyncio.get_running_loop().create_future()


run(
    lambda port: uvloop.run(main(port)),
    name="websockets broadcast",
    version=version("websockets", "uvloop"),
)
