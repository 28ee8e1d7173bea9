"""Stands in for the console host, which has a thread made in each process that it tells something.

Wine's console tells of Ctrl-C alone. A thread that another process makes in `CtrlRoutine` is
what Windows makes of every event. Of Ctrl-Break Wine's C library knows nothing either; in
processes that leave it to that library, the thread begins where it would raise the signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
from ctypes import wintypes
from typing import Final

import multiprocess
from multiprocess.connection import wait

from relay.signals import SignalInbox

assert sys.platform == "win32"

__all__ = ["close", "press_break", "press_while_waiting"]

_CTRL_C: Final = 0  # CTRL_C_EVENT
_BREAK: Final = 1  # CTRL_BREAK_EVENT
_CLOSE: Final = 2  # CTRL_CLOSE_EVENT
_PATIENCE: Final = 5000  # milliseconds, as Windows has it
_ALL_ACCESS: Final = 0x1FFFFF

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel32.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
_kernel32.OpenProcess.restype = wintypes.HANDLE
_kernel32.CreateRemoteThread.argtypes = (
    *(wintypes.HANDLE, wintypes.LPVOID, ctypes.c_size_t),
    *(wintypes.LPVOID, wintypes.LPVOID, wintypes.DWORD, wintypes.LPDWORD),
)
_kernel32.CreateRemoteThread.restype = wintypes.HANDLE
_kernel32.WaitForSingleObject.argtypes = (wintypes.HANDLE, wintypes.DWORD)
_kernel32.TerminateProcess.argtypes = (wintypes.HANDLE, wintypes.UINT)
_kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)


def press_break(pids: list[int]) -> None:
    """Ctrl-Break: everybody is told at once.

    Args:
        pids: of workers, then of their supervisor.
    """
    *workers, supervisor = [_open(pid) for pid in pids]
    for process in workers:
        _call(process, _address("ucrtbase", "raise"), signal.SIGBREAK)
        _kernel32.CloseHandle(process)
    _call(supervisor, _address("kernel32", "CtrlRoutine"), _BREAK)
    _kernel32.CloseHandle(supervisor)


def press_while_waiting() -> list[str]:
    """Ctrl-C while the main thread waits for something else; what the supervisor has of it."""
    awaited, sender = multiprocess.Pipe(duplex=False)
    with SignalInbox("press") as inbox, awaited, sender:

        def press() -> None:
            process = _open(os.getpid())
            _call(process, _address("kernel32", "CtrlRoutine"), _CTRL_C)
            _kernel32.CloseHandle(process)
            select.select(inbox.sources[:1], [], [])
            sender.send(None)

        threading.Thread(target=press).start()
        assert wait([awaited]) == [awaited]
        return [request.name for request in inbox.read()]


def close(pids: list[int]) -> list[int]:
    """Close the console: one process after the other is told, given its time, and ended.

    Returns:
        Those that had not ended by themselves.
    """
    ended = []
    for pid, process in [(pid, _open(pid)) for pid in pids]:
        # Who has ended by now cannot be told.
        with contextlib.suppress(PermissionError):
            _call(process, _address("kernel32", "CtrlRoutine"), _CLOSE)
        if _kernel32.WaitForSingleObject(process, _PATIENCE):
            ended.append(pid)
            _kernel32.TerminateProcess(process, 1)
        _kernel32.CloseHandle(process)
    return ended


def _open(pid: int) -> int:
    process: int | None = _kernel32.OpenProcess(_ALL_ACCESS, False, pid)
    if not process:
        raise ctypes.WinError(ctypes.get_last_error())
    return process


def _address(library: str, function: str) -> int | None:
    """Where a function is; in every process the same, since they load the same libraries."""
    return ctypes.cast(getattr(ctypes.WinDLL(library), function), ctypes.c_void_p).value


def _call(process: int, address: int | None, argument: int) -> None:
    """Call a function in another process."""
    thread = _kernel32.CreateRemoteThread(process, None, 0, address, argument, 0, None)
    if not thread:
        raise ctypes.WinError(ctypes.get_last_error())
    _kernel32.CloseHandle(thread)
