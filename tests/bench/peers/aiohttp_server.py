"""aiohttp's WebSockets on uvloop, sent to in a loop, as its examples do."""

from __future__ import annotations

import contextlib
from collections import defaultdict

import uvloop
from aiohttp import WSMsgType, web

from tests.bench.program import run, version

viewers: defaultdict[str, set[web.WebSocketResponse]] = defaultdict(set)


async def handle(request: web.Request) -> web.WebSocketResponse:
    """A viewer or a publisher."""
    peer = web.WebSocketResponse(compress=False, max_msg_size=0)
    await peer.prepare(request)
    everybody = viewers[request.match_info["stream"]]
    if request.match_info["role"] == "view":
        everybody.add(peer)
    try:
        async for message in peer:
            if message.type is WSMsgType.BINARY:
                for viewer in list(everybody):
                    with contextlib.suppress(ConnectionError):
                        await viewer.send_bytes(message.data)
    finally:
        everybody.discard(peer)
    return peer


def serve(port: int) -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_get("/{role}/{stream}", handle)
    loop = uvloop.new_event_loop()
    web.run_app(
        app, host="127.0.0.1", port=port, loop=loop, print=None, access_log=None, backlog=4096
    )


run(serve, name="aiohttp", version=version("aiohttp", "uvloop"))
