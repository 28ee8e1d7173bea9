"""Synthetic viewers: what the shipped player does on the network, without its pictures.

A viewer connects, checks every message (`tests.e2e.checker`), asks for the clock when it has
heard nothing for a while, reports now and then, answers a Close, and comes back after the
same jittered backoff as the player. It never gives up except on 1008.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import Final

from tests.e2e import wire
from tests.e2e.checker import FrameChecker
from tests.e2e.wire import MessageReader, WireError, close_code

__all__ = ["ABNORMAL", "Address", "Viewer", "Visit", "retry_delay"]

Address = tuple[str, int]

ABNORMAL: Final = 1006
"""Stands for the end of a connection without a Close, as in browsers."""
_BACKOFF: Final = 0.25
_BACKOFF_MAX: Final = 8.0
_RESTART_SPREAD: Final = 0.5
_BUSY: Final = 2.0
_LASTED: Final = _BACKOFF_MAX
_PING_AFTER_TICKS: Final = 5
_REPORT_TICKS: Final = 5
_GOODBYE: Final = 10.0


def retry_delay(code: int, attempt: int) -> float:
    """Seconds that the player waits; the same rule as `retryDelay` in the player."""
    chance = random.random()
    if code == 1012 and attempt == 0:
        return chance * _RESTART_SPREAD
    if code == 1013:
        return _BUSY + chance * _BACKOFF_MAX
    return float(chance * min(_BACKOFF_MAX, _BACKOFF * 2**attempt))


@dataclass(slots=True)
class Visit:
    """One connection of a viewer. Times are monotonic seconds; 0: it has not happened.

    Attributes:
        asked: when it dialled.
        opened: when the handshake was done.
        first_frame: when its first frame came.
        first_seq: seq of that frame.
        first_key: whether that frame was a key frame.
        closed: when it ended.
        code: close code; `ABNORMAL` when it broke.
        reason: of the Close, or what broke.
        worker: slot of the worker that serves it; -1: it has not said so.
        status: first line of an answer that was no upgrade.
    """

    asked: float
    opened: float = 0.0
    first_frame: float = 0.0
    first_seq: int = -1
    first_key: bool = False
    closed: float = 0.0
    code: int = ABNORMAL
    reason: str = ""
    worker: int = -1
    status: str = ""


class _Connection(asyncio.Protocol):
    """One connection's bytes; tells its viewer what they mean."""

    def __init__(self, viewer: Viewer, visit: Visit) -> None:
        self._viewer = viewer
        self._visit = visit
        self._reader = MessageReader()
        self._head = b""
        self._answered = False
        self.ended = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.silent_ticks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's has no base class
        viewer = self._viewer
        host = f"{viewer.address[0]}:{viewer.address[1]}"
        self.write(wire.request(viewer.path, host, *viewer.headers))

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        self.silent_ticks = 0
        try:
            if not self._visit.opened:
                self._head += data
                head, found, data = self._head.partition(b"\r\n\r\n")
                if not found:
                    return
                if not wire.upgraded(head):
                    self._visit.status = head.split(b"\r\n")[0].decode("latin-1")
                    return
                self._visit.opened = time.monotonic()
                self._head = b""
                self._viewer.checker.connected()
            for opcode, payload in self._reader.feed(data):
                self._frame(opcode, payload)
        except WireError as exc:
            self._viewer.checker.violations.append(str(exc))
            if self.transport is not None:
                self.transport.abort()

    def _frame(self, opcode: int, payload: bytes) -> None:
        visit, viewer = self._visit, self._viewer
        if opcode == wire.PING:
            self.write(wire.frame(wire.PONG, payload))
        elif opcode == wire.CLOSE:
            visit.code, visit.reason = close_code(payload)
            if not self._answered:
                self._answered = True
                self.write(wire.frame(wire.CLOSE, payload))
        elif opcode == wire.BINARY:
            control = viewer.checker.message(payload)
            if control is None and not visit.first_frame:
                visit.first_frame = time.monotonic()
                visit.first_seq = viewer.checker.last_seq or 0
                visit.first_key = viewer.checker.first_was_key
            elif control is not None and control["type"] == "hello":
                visit.worker = control["worker"]
            elif control is not None and control["type"] == "ping":
                now = time.time_ns() // 1000
                self.write(wire.message(type="pong", t0=control["t0"], t1=now))

    def close(self, code: int) -> None:
        """Begin the closing handshake, as a page that leaves does."""
        if not self._answered and self._visit.opened:
            self._answered = True
            self.write(wire.close_frame(code))
        elif not self._visit.opened and self.transport is not None:
            self.transport.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._visit.closed = time.monotonic()
        if not self._visit.reason and exc is not None:
            self._visit.reason = str(exc)
        if not self.ended.done():
            self.ended.set_result(None)


@dataclass(eq=False)
class Viewer:
    """One player.

    Attributes:
        address: the relay's.
        stream: what it watches.
        query: appended to the path, with its question mark.
        headers: further lines of its handshakes.
        faithful: whether it comes back when its connection ends.
        checker: what it has received.
        visits: all its connections, oldest first.
        refused: connection attempts that the kernel refused.
    """

    address: Address
    stream: str
    query: str = ""
    headers: tuple[str, ...] = ()
    faithful: bool = True
    checker: FrameChecker = field(default_factory=FrameChecker)
    visits: list[Visit] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._connection: _Connection | None = None
        self._leaving = False
        self._ticks = 0

    @property
    def path(self) -> str:
        """What it asks for."""
        return f"/view/{self.stream}{self.query}"

    @property
    def visit(self) -> Visit:
        """Its newest connection."""
        return self.visits[-1]

    @property
    def online(self) -> bool:
        """Whether its handshake is done and its connection is up."""
        return bool(self.visits) and self.visit.opened > 0 and not self.visit.closed

    @property
    def watching(self) -> bool:
        """Whether its present connection has brought a frame."""
        return self.online and self.visit.first_frame > 0

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def _live(self) -> None:
        attempt = 0
        while not self._leaving:
            visit = Visit(time.monotonic())
            self.visits.append(visit)
            await self._stay(visit)
            if self._leaving or visit.code == 1008 or not self.faithful:
                return
            if visit.first_frame or (visit.opened and visit.closed - visit.opened > _LASTED):
                attempt = 0
            await asyncio.sleep(retry_delay(visit.code, attempt))
            attempt += 1

    async def _stay(self, visit: Visit) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self, visit), *self.address
            )
        except OSError as exc:
            self.refused += isinstance(exc, ConnectionRefusedError)
            visit.closed, visit.reason = time.monotonic(), str(exc)
            return
        self._connection = connection
        if self._leaving:
            connection.close(1001)
        await connection.ended

    def say(self, **fields: object) -> None:
        """Send a control message."""
        if self._connection is not None and self.online:
            self._connection.write(wire.message(**fields))

    def tick(self) -> None:
        """Once a second: what the player's timers do."""
        connection = self._connection
        if connection is None or not self.online:
            return
        self._ticks += 1
        connection.silent_ticks += 1
        if connection.silent_ticks % _PING_AFTER_TICKS == 0:
            self.say(type="ping", t0=time.time_ns() // 1000)
        if self.watching and self._ticks % _REPORT_TICKS == 0:
            self.say(type="stats", decoded=self.checker.frames, dropped=0, latency_ms=None)

    async def leave(self, code: int = 1001) -> None:
        """Close as a tab does, and wait for the end of it."""
        self._leaving = True
        if self._connection is not None:
            self._connection.close(code)
        task = self._task
        if task is None:
            return
        if not self.online:
            task.cancel()
        done, _ = await asyncio.wait({task}, timeout=_GOODBYE)
        if not done:
            self.checker.violations.append("the relay did not finish the closing handshake")
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.abort()
