"""Signals as a socket that becomes readable: handlers do nothing, the loop does it all.

The C part of the interpreter writes the number of each signal into a socket
(`signal.set_wakeup_fd`); the supervisor waits on it beside everything else. Another
platform's way to be told to stop (a console event) would be put into the same socket here.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Final, Self

__all__ = ["SUPERVISOR_SIGNALS", "SignalInbox", "blocked"]

SUPERVISOR_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def _only_wake_up(number: int, frame: FrameType | None) -> None:
    """Handler of every signal: its number is in the socket by now."""


class SignalInbox:
    """Catches signals while it is entered; for the main thread alone."""

    def __init__(self, signals: Iterable[signal.Signals] = SUPERVISOR_SIGNALS) -> None:
        self._signals = tuple(signals)
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: list[tuple[signal.Signals, object]] = []
        self._fd_before = -1

    def __enter__(self) -> Self:
        self._fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = [(each, signal.signal(each, _only_wake_up)) for each in self._signals]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._fd_before)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        """Readable when a signal has arrived."""
        return self._reader.fileno()

    def read(self) -> list[signal.Signals]:
        """The signals that arrived, oldest first."""
        with contextlib.suppress(BlockingIOError):
            numbers = self._reader.recv(4096)
            return [signal.Signals(number) for number in numbers if number in self._signals]
        return []


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Hold signals back.

    A process started meanwhile inherits this, so that none reaches it before it has said what
    they mean to it; here they arrive afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISOR_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
