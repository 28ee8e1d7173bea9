"""Many viewers at once, each no more than a socket."""

from __future__ import annotations

import contextlib
import socket
from types import TracebackType
from typing import Self

from tests.workers.client import upgrade_request
from tests.workers.harness import WATCHDOG

__all__ = ["Crowd"]


class Crowd:
    """Viewers of one stream. A context manager that closes them.

    Attributes:
        viewers: whose handshake succeeded.
        lost: how many were cut off before that; refused ones raise at once.
    """

    def __init__(self, port: int, stream: str = "quiet") -> None:
        self.viewers: list[socket.socket] = []
        self.lost = 0
        self._port = port
        self._request = upgrade_request(f"/view/{stream}")
        self._waiting: list[socket.socket] = []

    def knock(self, count: int, source: str = "127.0.0.1") -> None:
        """Connect and ask, without waiting for answers.

        Raises:
            ConnectionRefusedError: when nobody listens.
        """
        for _ in range(count):
            sock = socket.create_connection(
                ("127.0.0.1", self._port), WATCHDOG, source_address=(source, 0)
            )
            self._waiting.append(sock)
            # It may be cut off already; `enter` counts it.
            with contextlib.suppress(ConnectionError):
                sock.sendall(self._request)

    def enter(self) -> None:
        """Wait for the answers to all who knocked."""
        while self._waiting:
            sock = self._waiting.pop()
            if self._answered(sock):
                self.viewers.append(sock)
            else:
                self.lost += 1
                sock.close()

    def _answered(self, sock: socket.socket) -> bool:
        answer = b""
        while b"\r\n\r\n" not in answer:
            try:
                part = sock.recv(4096)
            except ConnectionError:
                return False
            if not part:
                return False
            answer += part
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return True

    def burst(self, count: int, source: str = "127.0.0.1") -> None:
        """All at once."""
        self.knock(count, source)
        self.enter()

    def trickle(self, count: int) -> None:
        """One after the other."""
        for _ in range(count):
            self.burst(1)

    def leave(self, count: int) -> None:
        """Some go."""
        for _ in range(count):
            self.viewers.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for sock in self._waiting + self.viewers:
            sock.close()
