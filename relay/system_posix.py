"""The operating system's part on POSIX. See `relay.system`."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final

from multiprocess import resource_tracker

assert sys.platform != "win32"

__all__ = [
    "RELOAD_SIGNAL",
    "SIGKILL",
    "STOP_SIGNALS",
    "WAIT_LIMIT",
    "Program",
    "ReloadRequests",
    "at_session_end",
    "caught_signals",
    "claim_address",
    "hand_over",
    "hold_back_signals",
    "own_signals",
    "raise_descriptor_limit",
    "request_reload",
    "tie_children",
]

WAIT_LIMIT: Final = 1 << 20
STOP_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
RELOAD_SIGNAL: Final[signal.Signals | None] = signal.SIGHUP
SIGKILL: Final = signal.SIGKILL
_ALL: Final = STOP_SIGNALS | {signal.SIGHUP}


@contextlib.contextmanager
def hold_back_signals() -> Iterator[None]:
    """Hold signals back: a child inherits that; here they arrive afterwards."""
    # It is started by the first spawn otherwise, which lets the signals in again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def own_signals(ask_for_replacement: Callable[[], object]) -> None:
    """Let signals in, in a worker.

    SIGINT and SIGHUP go to a terminal's whole group and are the supervisor's to act on; who
    sends SIGTERM to a worker wants another one in its place.
    """

    def replace(number: int, frame: FrameType | None) -> None:
        ask_for_replacement()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, replace)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ALL)


def _only_wake_up(number: int, frame: FrameType | None) -> None:
    """Handler of every signal: its number is in the socket by now."""


@contextlib.contextmanager
def caught_signals(writer: socket.socket) -> Iterator[None]:
    """Let the C part of the interpreter write the number of each signal into a socket."""
    fd_before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    before = [(each, signal.signal(each, _only_wake_up)) for each in _ALL]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        signal.set_wakeup_fd(fd_before)


@contextlib.contextmanager
def at_session_end(ended: Callable[[], object]) -> Iterator[None]:
    """Nothing: the end of a session is a signal here."""
    yield


class ReloadRequests:
    """None but signals."""

    sources: Sequence[int] = ()

    def __init__(self, instance: str) -> None:
        """Nothing has to be prepared."""

    def take(self) -> bool:
        """Whether one was made since the last call."""
        return False

    def close(self) -> None:
        """Nothing is held."""


def request_reload(instance: str, supervisor_pid: int) -> None:
    """Ask a supervisor to read its configuration again and to replace its workers.

    Raises:
        OSError: it is another user's, for example.
    """
    os.kill(supervisor_pid, signal.SIGHUP)


def tie_children() -> None:
    """Nothing: workers see the end of their pipe, and programs ask the kernel."""


def raise_descriptor_limit() -> None:
    """Raise the soft limit to the hard one.

    The usual soft limit of 1024 is there for programs that call select(); a worker does not,
    and has a descriptor for each viewer.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems call the hard limit infinite and still refuse that.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def claim_address(listener: socket.socket) -> None:
    """Without this, a relay that is started again finds its port in use for a minute."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def hand_over(listener: socket.socket) -> socket.socket:
    """The socket itself: `multiprocess` passes its descriptor."""
    return listener


class Program:
    """A running program.

    Attributes:
        sentinel: readable when it has ended.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Start it; Ctrl-C in a terminal is for its parent to handle.

        Raises:
            OSError: it cannot be started.
        """
        reader, writer = os.pipe()
        try:
            # Its end of the pipe closes with the process, which makes ours readable.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(writer,), process_group=0
            )
            self.sentinel = reader
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)

    def stop(self) -> None:
        """Ask it to end."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def collect(self) -> int:
        """Wait for its end; its exit code, or minus the signal that killed it."""
        code = self._process.wait()
        os.close(self.sentinel)
        return code
