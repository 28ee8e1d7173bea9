"""What the supervisor is asked for, as something to wait on: handlers do nothing, the loop all.

The number of each signal goes into a socket (`relay.system.caught_signals`); the supervisor
waits on it beside everything else. The end of the user's session is put into the same socket.
Requests to reload that are no signals come from `relay.system.ReloadRequests`.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from relay.system import (
    RELOAD_SIGNAL,
    STOP_SIGNALS,
    ReloadRequests,
    at_session_end,
    caught_signals,
)

__all__ = ["SESSION_END", "Request", "SignalInbox"]

_SESSION_END_NUMBER: Final = 0
"""No signal has it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that is asked for.

    Attributes:
        name: what it came as, for the log.
        reload: replace the workers, instead of stopping.
    """

    name: str
    reload: bool = False


SESSION_END: Final = Request("end of the session")


class SignalInbox:
    """Catches requests while it is entered; for the main thread alone.

    Attributes:
        sources: one of them is readable when there is a request.
    """

    sources: list[Any]

    def __init__(self, instance: str) -> None:
        """Prepare it.

        Args:
            instance: whose supervisor is asked.
        """
        self._instance = instance
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._reader, self._writer = map(stack.enter_context, socket.socketpair())
            self._reader.setblocking(False)
            self._writer.setblocking(False)
            self._reloads = stack.enter_context(contextlib.closing(ReloadRequests(self._instance)))
            stack.enter_context(caught_signals(self._writer))
            stack.enter_context(at_session_end(self._end_of_session))
            self.sources = [self._reader, *self._reloads.sources]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _end_of_session(self) -> None:
        self._writer.send(bytes([_SESSION_END_NUMBER]))

    def read(self) -> list[Request]:
        """What was asked for since the last call, oldest first."""
        requests = [Request("reload", reload=True)] if self._reloads.take() else []
        with contextlib.suppress(BlockingIOError):
            requests.extend(filter(None, map(_request_of, self._reader.recv(4096))))
        return requests


def _request_of(number: int) -> Request | None:
    if number == _SESSION_END_NUMBER:
        return SESSION_END
    if number == RELOAD_SIGNAL:
        return Request(signal.Signals(number).name, reload=True)
    return Request(signal.Signals(number).name) if number in STOP_SIGNALS else None
