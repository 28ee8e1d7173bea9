"""The publisher of a measurement: a process of its own, paced, over either of two ways in.

``python -m tests.bench.feed``, with what `tests.bench.load` passes. Streams are ``s0``, ``s1``,
…, spread evenly over the frame's interval, as cameras that know nothing of each other are.
A payload begins with the stamp that the viewers (client.c) look for. Prints a line when all
streams are published, ends with its standard input.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import struct
import sys
import time
from contextlib import ExitStack
from typing import Final, Protocol

from websockets.client import ClientProtocol
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from bus import Publisher
from tests.bench.contestants import KEY

__all__ = ["main"]

MAGIC: Final = b"\x89STAMP\r\n"
_STAMP: Final = struct.Struct("=8sQQ")


class _Way(Protocol):
    def write(self, payload: bytearray, key: bool) -> None: ...


class _Shm:
    def __init__(self, stack: ExitStack, stream: str, instance: str) -> None:
        publisher = Publisher(stream, codec="vp8", instance=instance)
        self._publisher = stack.enter_context(publisher)

    def write(self, payload: bytearray, key: bool) -> None:
        self._publisher.write(payload, key=key)


class _WebSocket:
    """As a publisher in any language would do it: one connection, one message a frame."""

    def __init__(self, stack: ExitStack, stream: str, port: int) -> None:
        self._sock = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/publish/{stream}"))
        # The floor knows the answer to this key only.
        self._protocol.key = KEY
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        while self._protocol.state is not OPEN:
            self._receive(self._sock.recv(65536))

    def write(self, payload: bytearray, key: bool) -> None:
        self._protocol.send_binary(payload)
        self._flush()
        # Pings want an answer, and some servers confirm each message.
        while select.select([self._sock], [], [], 0)[0]:
            self._receive(self._sock.recv(65536))

    def _receive(self, data: bytes) -> None:
        if not data:
            sys.exit("feed: the server closed the publisher's connection")
        self._protocol.receive_data(data)
        if self._protocol.handshake_exc is not None:
            sys.exit(f"feed: {self._protocol.handshake_exc}")
        self._protocol.events_received()
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._sock.sendall(data)


def _publish(ways: list[list[_Way]], size: int, fps: float) -> None:
    payload = bytearray(os.urandom(size))
    group = max(1, round(fps))
    step = 1 / (fps * len(ways))
    began = time.monotonic()
    turn = 0
    while True:
        wait = began + turn * step - time.monotonic()
        if select.select([sys.stdin], [], [], max(0.0, wait))[0]:
            return
        number, stream = divmod(turn, len(ways))
        _STAMP.pack_into(payload, 0, MAGIC, time.monotonic_ns(), number)
        for way in ways[stream]:
            way.write(payload, number % group == 0)
        turn += 1


def main() -> None:
    """Publish until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--size", type=int, default=16384)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--instance", help="publish through shared memory")
    parser.add_argument("--ports", type=int, nargs="*", default=[], help="publish to each of these")
    wanted = parser.parse_args()
    names = [f"s{number}" for number in range(wanted.streams)]
    with ExitStack() as stack:
        ways: list[list[_Way]] = [
            [_Shm(stack, name, wanted.instance)]
            if wanted.instance
            else [_WebSocket(stack, name, port) for port in wanted.ports]
            for name in names
        ]
        print("published", flush=True)
        _publish(ways, wanted.size, wanted.fps)


if __name__ == "__main__":
    main()
