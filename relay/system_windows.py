"""The operating system's part on Windows. See `relay.system`.

Ctrl-C and Ctrl-Break stop the supervisor, as do services that send them; so does the end of
the console or of the session. A named event takes the place of SIGHUP.

A job object holds the supervisor and everything it starts. The system ends what is left in
it when the supervisor's handle to it is gone, however that came about.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from ctypes import wintypes
from typing import Final

from multiprocess.context import get_spawning_popen

from bus import kernel32
from relay.errors import RelayError

assert sys.platform == "win32"

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

WAIT_LIMIT: Final = 63
"""WaitForMultipleObjects takes 64 handles, of which Python keeps one for Ctrl-C."""
STOP_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGBREAK})
RELOAD_SIGNAL: Final[signal.Signals | None] = None
SIGKILL: Final = signal.SIGTERM
"""`multiprocess` says this of whom it ends by TerminateProcess."""

_STOP_EVENTS: Final = {0: signal.SIGINT, 1: signal.SIGBREAK}
"""CTRL_C_EVENT, CTRL_BREAK_EVENT."""
_SESSION_ENDS: Final = frozenset({2, 5, 6})
"""CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT."""
_LAST_WORDS: Final = 20.0
"""Seconds; the system ends the process sooner, as soon as its handler returns."""
_KILL_ON_CLOSE: Final = 0x2000
_EXTENDED_LIMITS: Final = 9


class _Limits(ctypes.Structure):
    # JOBOBJECT_EXTENDED_LIMIT_INFORMATION
    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", wintypes.DWORD),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", wintypes.DWORD),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", wintypes.DWORD),
        ("SchedulingClass", wintypes.DWORD),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


_Handler = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)
_ending: Final = threading.Event()
"""Set once a handler waits for the end of the process."""
_kept: Final[list[object]] = []
"""Handlers that must not be freed any more."""

_dll = ctypes.WinDLL("kernel32", use_last_error=True)
_dll.SetConsoleCtrlHandler.argtypes = (ctypes.c_void_p, wintypes.BOOL)
_dll.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
_dll.CreateJobObjectW.restype = wintypes.HANDLE
_dll.SetInformationJobObject.argtypes = (
    *(wintypes.HANDLE, ctypes.c_int),
    *(wintypes.LPVOID, wintypes.DWORD),
)
_dll.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
_dll.GetCurrentProcess.restype = wintypes.HANDLE


@contextlib.contextmanager
def hold_back_signals() -> Iterator[None]:
    """Ignore Ctrl-C: a child inherits that, for good."""
    _dll.SetConsoleCtrlHandler(None, True)
    try:
        yield
    finally:
        _dll.SetConsoleCtrlHandler(None, False)


def own_signals(ask_for_replacement: Callable[[], object]) -> None:
    """What is typed in a console goes to all its processes and is the supervisor's to act on."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # What was held back while this process was started.
    _dll.SetConsoleCtrlHandler(None, False)


@contextlib.contextmanager
def caught_signals(writer: socket.socket) -> Iterator[None]:
    """Write the number of each signal into a socket, instead of what it does else.

    Python's own handler is not reached: it sets an event besides, a moment later, and the
    main thread's next wait for handles, whatever it is for, fails with EINTR then.
    """

    def handle(event: int) -> bool:
        number = _STOP_EVENTS.get(event)
        if number is not None:
            # When it is full there is enough in it to act on.
            with contextlib.suppress(OSError):
                writer.send(bytes([number]))
        return number is not None

    with _console_handler(handle):
        yield


@contextlib.contextmanager
def at_session_end(ended: Callable[[], object]) -> Iterator[None]:
    """Call ``ended``, in another thread, when the console is closed or the user logs off.

    The processes of a console are told one after the other, the youngest first, and each must
    have ended before the next one hears of it.
    """

    def handle(event: int) -> bool:
        if event not in _SESSION_ENDS:
            return False
        _ending.set()
        ended()
        # The process is ended when this returns: leave it the time to stop in order.
        threading.Event().wait(_LAST_WORDS)
        return True

    with _console_handler(handle):
        yield


@contextlib.contextmanager
def _console_handler(handle: Callable[[int], bool]) -> Iterator[None]:
    """Let ``handle`` say of each event, in another thread, whether it has acted on it.

    Who was added last is asked first.
    """
    handler = _Handler(handle)
    _dll.SetConsoleCtrlHandler(handler, True)
    try:
        yield
    finally:
        if _ending.is_set():
            # While one of them runs, the system would let this wait; nor may any be freed.
            _kept.append(handler)
        else:
            _dll.SetConsoleCtrlHandler(handler, False)


def _reload_event(instance: str) -> str:
    return f"relay@{instance}@reload"


class ReloadRequests:
    """A named event, for the supervisor."""

    def __init__(self, instance: str) -> None:
        """Make it, so that it can be set."""
        self._event = kernel32.create_event(_reload_event(instance))
        self.sources: Sequence[int] = (self._event,)

    def take(self) -> bool:
        """Whether one was made since the last call."""
        made = kernel32.wait_for(self._event, 0)
        kernel32.reset_event(self._event)
        return made

    def close(self) -> None:
        """Let go of the event."""
        kernel32.close_handle(self._event)


def request_reload(instance: str, supervisor_pid: int) -> None:
    """Ask a supervisor to read its configuration again and to replace its workers.

    Raises:
        RelayError: it cannot be asked.
        OSError: it is another user's, for example.
    """
    event = kernel32.open_event(_reload_event(instance))
    if event is None:
        raise RelayError(f"the supervisor with pid {supervisor_pid} takes no requests yet")
    kernel32.set_event(event)
    kernel32.close_handle(event)


def tie_children() -> None:
    """Make this process and all it starts from now on the members of a job.

    Raises:
        OSError: the system has no room for it.
    """
    # Closed by the system when this process ends, and never before.
    job = _dll.CreateJobObjectW(None, None)
    limits = _Limits(LimitFlags=_KILL_ON_CLOSE)
    if not (
        job
        and _dll.SetInformationJobObject(
            job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)
        )
        and _dll.AssignProcessToJobObject(job, _dll.GetCurrentProcess())
    ):
        raise ctypes.WinError(ctypes.get_last_error())


def raise_descriptor_limit() -> None:
    """Nothing: handles are limited by memory alone."""


def claim_address(listener: socket.socket) -> None:
    """SO_REUSEADDR would let another program take the port over; this forbids just that."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)


class _Shared:
    """A socket on its way into the process that is being spawned."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return socket.fromshare, (self._listener.share(get_spawning_popen().pid),)


def hand_over(listener: socket.socket) -> _Shared:
    """Something that becomes the socket where it is unpickled.

    `multiprocess` would have a thread here answer the child's question for it, and keep a
    duplicate for each child that dies before it asks.
    """
    return _Shared(listener)


class Program:
    """A running program.

    Attributes:
        sentinel: signalled when it has ended.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Start it; Ctrl-C in a console is for its parent to handle.

        Raises:
            OSError: it cannot be started.
        """
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
        self.sentinel = int(self._process._handle)  # type: ignore[attr-defined]

    def stop(self) -> None:
        """Ask it to end, by Ctrl-Break; without a console nobody can be asked."""
        try:
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
        except (OSError, SystemError):
            # Python 3.11 makes the one into the other, and ends the process anyway.
            self._process.kill()

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def collect(self) -> int:
        """Wait for its end; its exit code."""
        return self._process.wait()
