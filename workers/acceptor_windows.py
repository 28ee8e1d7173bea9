"""Accepting from the shared listener on Windows: one AcceptEx under way in each worker.

asyncio's own way binds the listener to the process's completion port, and a socket can have
one port only: in the second worker that fails with WinError 87. So the listener is bound to
none. AcceptEx is given an event, and the loop's port waits for the event. Nobody polls:
a poll followed by accept blocks when another process was faster. Requests of all
processes are queued in the kernel, one of each, which keeps them level.

A worker that is stopped, or whose gate has closed meanwhile, cancels its request and waits
until that has retired: a connection that came first is served as any other. The private
parts of the standard library that this needs are probed; without them a thread that blocks
in accept takes their place, which cannot be called back: it may take one connection more
than it should, and lose it when its worker leaves.
"""

from __future__ import annotations

import _overlapped  # type: ignore[import-not-found]
import asyncio
import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from workers.accepting import BaseAcceptor

assert sys.platform == "win32"

__all__ = ["LINGER_RESET", "Acceptor"]

LINGER_RESET: Final = struct.pack("HH", 1, 0)
_CANCELLED: Final = 995
# Too many sockets, no buffers, not enough memory, no system resources.
_EXHAUSTED: Final = frozenset({10024, 10055, 8, 1450})
# The peer left before it was accepted; found when the request is made or when it completes.
_PEER_LEFT: Final = frozenset({64, 121, 1236, 10053, 10054, 10057})
_HANDLE: Final = struct.Struct("@P")


class _Connection(socket.socket):
    """A connection whose end is its end.

    The Proactor loop's transports shut a socket down before they close it. When the peer is
    gone already that can fail, and the socket would stay open for good.
    """

    def shutdown(self, how: int) -> None:
        """As for any socket; nothing if it is too late for it."""
        with contextlib.suppress(OSError):
            super().shutdown(how)


class _Request(Protocol):
    """One connection that is being taken."""

    done: asyncio.Future[Any]
    """Done when `result` is there."""

    def result(self) -> socket.socket: ...
    def cancel(self) -> None: ...


class Acceptor(BaseAcceptor):
    """Keeps one request under way while the gate and the rate limit allow it."""

    _request: _Request | None = None
    _retired: Callable[[], object] | None = None

    def _arm(self) -> None:
        try:
            self._request = _begin(self._loop, self._listener)
        except OSError as exc:
            self._refused(exc)
        else:
            self._armed = True
            self._request.done.add_done_callback(self._completed)

    def _refused(self, error: OSError) -> None:
        """The request could not even be made."""
        self._fail(error)
        if error.winerror in _PEER_LEFT:
            self._loop.call_soon(self.rearm)
        else:
            # Until the next tick: whatever it is, asking at once would spin.
            self._full = True

    def start(self) -> None:
        """Begin to accept; the requests of workers that have more are to be withdrawn."""
        super().start()
        self._gate.recall()

    def rearm(self) -> None:
        """Keep a request under way if everything allows it; withdraw it when the gate does not."""
        if self._request is None:
            super().rearm()
        elif self._running and not self._gate.is_open():
            self._request.cancel()

    def _completed(self, done: asyncio.Future[Any]) -> None:
        request, self._request = self._request, None
        assert request is not None
        self._armed = False
        try:
            connection = request.result()
            address = self._peer(connection)
        except OSError as exc:
            if exc.winerror != _CANCELLED:
                self._fail(exc)
        else:
            self._take(connection, address)
        if self._retired is not None:
            self._retired()
        else:
            self.rearm()

    def _peer(self, connection: socket.socket) -> str:
        try:
            return str(connection.getpeername()[0])
        except OSError:
            connection.close()
            raise

    def _retire(self, retired: Callable[[], object]) -> None:
        if self._request is None:
            retired()
            return
        self._retired = retired
        self._request.cancel()

    def _shortage(self, error: OSError) -> str | None:
        if error.winerror in _EXHAUSTED:
            return "close programs that use many sockets, or serve fewer viewers"
        return None

    def _has_room(self) -> bool:
        # Nothing tells, but the next request.
        return True


def _begin(loop: asyncio.AbstractEventLoop, listener: socket.socket) -> _Request:
    proactor = getattr(loop, "_proactor", None)
    if hasattr(proactor, "wait_for_handle") and hasattr(_overlapped.Overlapped, "AcceptEx"):
        return _AcceptEx(proactor, listener)
    return _Thread(loop, listener)


class _AcceptEx:
    """A request of the kernel's."""

    def __init__(self, proactor: Any, listener: socket.socket) -> None:
        self._listener = listener
        self._connection = _Connection(listener.family)
        # Makes an event of its own, and closes it when it goes.
        self._operation = _overlapped.Overlapped()
        try:
            self._operation.AcceptEx(listener.fileno(), self._connection.fileno())
            self.done: asyncio.Future[Any] = proactor.wait_for_handle(self._operation.event)
        except OSError:
            self._connection.close()
            raise

    def result(self) -> socket.socket:
        """The connection; an error is this one peer's, or that of the cancellation."""
        try:
            # Waits for nothing: the event says that it is done.
            self._operation.getresult(True)
            self._connection.setsockopt(
                socket.SOL_SOCKET,
                _overlapped.SO_UPDATE_ACCEPT_CONTEXT,
                _HANDLE.pack(self._listener.fileno()),
            )
        except OSError:
            self._connection.close()
            raise
        return self._connection

    def cancel(self) -> None:
        """Complete it soon, with the error 995 if no connection came first."""
        self._operation.cancel()


class _Thread:
    """A request that blocks a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        self.done: asyncio.Future[Any] = loop.create_future()
        self._loop = loop
        listener.setblocking(True)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        outcome: socket.socket | OSError
        try:
            outcome = _Connection(fileno=listener.accept()[0].detach())
        except OSError as exc:
            outcome = exc
        try:
            self._loop.call_soon_threadsafe(self._finish, outcome)
        except RuntimeError:
            # The loop is closed: its worker left without waiting.
            if isinstance(outcome, socket.socket):
                outcome.close()

    def _finish(self, outcome: socket.socket | OSError) -> None:
        if not self.done.done():
            self.done.set_result(outcome)
        elif isinstance(outcome, socket.socket):
            outcome.close()

    def result(self) -> socket.socket:
        """The connection, or the error of accept."""
        outcome = self.done.result()
        if isinstance(outcome, OSError):
            raise outcome
        assert isinstance(outcome, socket.socket)
        return outcome

    def cancel(self) -> None:
        """Wait for it no longer; a connection that comes yet is closed."""
        if not self.done.done():
            self.done.set_result(OSError(None, "cancelled", None, _CANCELLED))
