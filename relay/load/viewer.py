"""One synthetic viewer: what the shipped player does on the network, without its pictures.

Rules that it checks: a ``hello`` comes before the first frame; the first frame after it is a
key frame; seqs rise; a frame after a gap is a key frame.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgpack

from relay.load.counts import Counts
from relay.load.wire import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    FrameReader,
    WireError,
    client_frame,
    message,
    request,
)

__all__ = ["Viewer"]

_FREEZE: Final = 1.0
_REPORT_TICKS: Final = 5
_KEY: Final = 1
_BUFFER: Final = memoryview(bytearray(1 << 20))
"""Shared by all viewers of a process: what is read is used before anybody reads again."""


class Viewer(asyncio.BufferedProtocol):
    """One connection.

    Args:
        path, host, headers: of the request.
        counts: where it counts.
        ended: called once when the connection is over, with whether coming back may help.
    """

    def __init__(
        self,
        path: str,
        host: str,
        headers: tuple[str, ...],
        counts: Counts,
        ended: Callable[[Viewer, bool], None],
    ) -> None:
        self._request = request(path, host, headers)
        self._counts = counts
        self._ended = ended
        self._reader = FrameReader(self._frame, self._control)
        self._head: bytearray | None = bytearray()
        self._transport: asyncio.Transport | None = None
        self._open = self._leaving = self._live = False
        self._awaiting_key = True
        self._seq = -1
        self._received = 0
        self._ticks = 0
        self._last = 0.0
        self._frozen = False
        self._publisher_us = 0
        self._joined_us = 0
        self._clock_us = 0
        self._round_trip = 1 << 62
        self._close: tuple[int, str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's has no base class
        self._write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        data = _BUFFER[:nbytes]
        self._counts.bytes += nbytes
        try:
            if self._head is not None:
                self._answer(bytes(data))
            else:
                self._reader.feed(data)
        except (WireError, IndexError) as exc:
            self._counts.invalid += 1
            self._counts.reasons[f"invalid: {exc}"] += 1
            self.abort()

    def _answer(self, data: bytes) -> None:
        assert self._head is not None
        self._head += data
        head, found, rest = bytes(self._head).partition(b"\r\n\r\n")
        if not found:
            return
        status = head.split(b"\r\n")[0].decode("latin-1")
        if " 101" not in status:
            self._counts.refused += 1
            self._counts.reasons[f"refused: {status}"] += 1
            self._leaving = True
            self.abort()
            return
        self._head = None
        self._open = True
        self._counts.connected += 1
        self._reader.feed(memoryview(rest))

    def _frame(self, seq: int, capture_us: int, flags: int) -> None:
        now_us = time.time_ns() // 1000
        counts = self._counts
        counts.frames += 1
        self._received += 1
        self._last = time.monotonic()
        if self._frozen:
            self._frozen = False
            counts.frozen -= 1
        gap = self._seq >= 0 and seq != self._seq + 1
        if gap and seq > self._seq:
            counts.skipped += seq - self._seq - 1
        if not flags & _KEY and (gap or self._awaiting_key):
            self._invalid("a delta frame where a key frame was due")
        elif gap and seq <= self._seq:
            self._invalid("a frame that is older than the one before it")
        elif not self._live:
            self._invalid("a frame without a hello")
        self._awaiting_key = False
        self._seq = seq
        captured_us = capture_us - self._publisher_us
        # Who joins gets a group of pictures from its beginning: their age says nothing.
        if self._round_trip < 1 << 62 and captured_us >= self._joined_us:
            counts.latency_us.add(now_us + self._clock_us - captured_us)

    def _invalid(self, what: str) -> None:
        self._counts.invalid += 1
        self._counts.reasons[f"invalid: {what}"] += 1

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == BINARY:
            value = msgpack.unpackb(payload)
            if isinstance(value, dict):
                self._said(value)
        elif opcode == PING:
            self._write(client_frame(PONG, payload))
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2]) if payload else 1005
            self._close = code, payload[2:].decode("utf-8", "replace")
            if not self._leaving:
                self._write(client_frame(CLOSE, payload[:2]))

    def _said(self, value: dict[str, Any]) -> None:
        kind = value.get("type")
        if kind == "hello":
            self._live = self._awaiting_key = True
            self._seq = -1
            self._last = time.monotonic()
            self._publisher_us = value.get("offset_us") or 0
            self._joined_us = value.get("server_us") or 0
            self._ping()
        elif kind == "ended":
            self._live = False
        elif kind == "ping":
            self._write(message(type="pong", t0=value["t0"], t1=time.time_ns() // 1000))
        elif kind == "pong":
            now_us = time.time_ns() // 1000
            if now_us - value["t0"] <= self._round_trip:
                self._round_trip = now_us - value["t0"]
                self._clock_us = value["t1"] - (value["t0"] + now_us) // 2
            self._publisher_us = value.get("offset_us", self._publisher_us)

    def _ping(self) -> None:
        self._write(message(type="ping", t0=time.time_ns() // 1000))

    def tick(self, now: float) -> None:
        """Once a second: what the player's timers do, and a look for frozen pictures."""
        if not self._open:
            return
        self._ticks += 1
        if self._live and not self._frozen and now - self._last > _FREEZE:
            self._frozen = True
            self._counts.frozen += 1
            self._counts.freeze += 1
        if self._ticks % _REPORT_TICKS == 0:
            self._ping()
            self._write(message(type="stats", decoded=self._received, dropped=0, latency_ms=None))

    def leave(self) -> None:
        """Close, as a tab does."""
        self._leaving = True
        self._write(client_frame(CLOSE, (1001).to_bytes(2)))

    def abort(self) -> None:
        """Be gone at once."""
        self._leaving = self._leaving or not self._open
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._counts.connected -= 1
        if self._frozen:
            self._counts.frozen -= 1
        self._open = self._frozen = False
        code, reason = self._close or (1006, "the connection broke")
        if not self._leaving:
            kind = "refused" if code in (1008, 1013) else "lost"
            setattr(self._counts, kind, getattr(self._counts, kind) + 1)
            self._counts.reasons[f"{kind}: {code} {reason}".rstrip()] += 1
        self._ended(self, code != 1008)
