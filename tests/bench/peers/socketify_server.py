"""socketify: uWebSockets (C++) with its own publish, driven from Python."""

from __future__ import annotations

from typing import Any

from socketify import App, AppListenOptions, OpCode

from tests.bench.program import run, version


def serve(port: int) -> None:
    """Serve until killed."""
    app = App()

    def upgrade(answer: Any, request: Any, context: Any) -> None:
        answer.upgrade(
            request.get_header("sec-websocket-key"),
            request.get_header("sec-websocket-protocol"),
            request.get_header("sec-websocket-extensions"),
            context,
            (request.get_parameter(0), request.get_parameter(1)),
        )

    def opened(peer: Any) -> None:
        role, stream = peer.get_user_data()
        if role == "view":
            peer.subscribe(stream)

    def message(peer: Any, payload: bytes, opcode: OpCode) -> None:
        role, stream = peer.get_user_data()
        if role == "publish":
            app.publish(stream, payload, opcode)

    app.ws(
        "/:role/:stream",
        {
            "upgrade": upgrade,
            "open": opened,
            "message": message,
            "max_payload_length": 1 << 24,
            "max_backpressure": 1 << 20,
        },
    )
    app.listen(AppListenOptions(port=port, host="127.0.0.1"), lambda _: None)
    app.run()


run(serve, name="socketify (uWebSockets)", version=version("socketify"))
