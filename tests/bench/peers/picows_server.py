"""picows (Cython) on uvloop, sent to in a loop."""

from __future__ import annotations

from collections import defaultdict

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from tests.bench.program import run, version

viewers: defaultdict[str, set[WSTransport]] = defaultdict(set)


class Viewer(WSListener):
    """Gets what is published."""

    def __init__(self, stream: str) -> None:
        self.stream = stream

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Join."""
        viewers[self.stream].add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leave."""
        viewers[self.stream].discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a Close, as picows leaves to its user."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()


class Publisher(WSListener):
    """Hands on what it gets."""

    def __init__(self, stream: str) -> None:
        self.stream = stream

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Send a message to everybody."""
        if frame.msg_type == WSMsgType.BINARY:
            payload = frame.get_payload_as_bytes()
            for viewer in viewers[self.stream]:
                viewer.send(WSMsgType.BINARY, payload)


def listener(request: WSUpgradeRequest) -> WSListener:
    """Who talks on a new connection."""
    _, role, stream = request.path.decode().split("/")
    return Publisher(stream) if role == "publish" else Viewer(stream)


async def main(port: int) -> None:
    """Serve until killed."""
    server = await ws_create_server(listener, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


run(lambda port: uvloop.run(main(port)), name="picows", version=version("picows", "uvloop"))
