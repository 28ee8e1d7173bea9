"""Cheap viewers: raw sockets in a process of their own that throw away what they get.

Payload is discarded in the kernel (MSG_TRUNC on TCP, tcp(7)), so the viewers cost the machine
as little as a client in C would.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Final

__all__ = ["Viewers", "handshake", "viewers"]

_REQUEST: Final = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_DISCARD: Final = 1 << 20


def handshake(port: int, path: str) -> socket.socket:
    """A socket on which the WebSocket handshake is done.

    Raises:
        ConnectionError: when the server does not upgrade.
    """
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.sendall(_REQUEST.format(path=path).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        # Byte by byte at the end, so that nothing of the first frame is lost.
        piece = sock.recv(1)
        if not piece:
            raise ConnectionError(f"{path}: the server hung up during the handshake")
        head += piece
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        raise ConnectionError(f"{path}: {head.splitlines()[0].decode()}")
    return sock


class Viewers:
    """A handle on the viewers' process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def bytes_received(self) -> int:
        """All bytes that all viewers got so far."""
        self._pipe.send("count")
        count: int = self._pipe.recv()
        return count


@contextmanager
def viewers(port: int, path: str, count: int) -> Iterator[Viewers]:
    """``count`` viewers of ``path``, connected when this returns."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_drain, args=(port, path, count, theirs))
    process.start()
    theirs.close()
    try:
        ours.recv()
        yield Viewers(ours)
    finally:
        ours.close()
        process.join()


def _drain(port: int, path: str, count: int, pipe: Connection) -> None:
    selector = selectors.DefaultSelector()
    sockets = [handshake(port, path) for _ in range(count)]
    for sock in sockets:
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
    selector.register(pipe, selectors.EVENT_READ)
    pipe.send("ready")
    total = 0
    waste = bytearray(_DISCARD)
    while True:
        for key, _ in selector.select():
            if key.fileobj is pipe:
                try:
                    pipe.recv()
                except EOFError:
                    return
                pipe.send(total)
                continue
            assert isinstance(key.fileobj, socket.socket)
            try:
                total += key.fileobj.recv_into(waste, _DISCARD, socket.MSG_TRUNC)
            except BlockingIOError:
                continue
