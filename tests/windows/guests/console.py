"""Stands in for the console host, which has a thread made in each process that it tells something.

Wine's console tells of Ctrl-C alone. A thread that another process makes in `CtrlRoutine` is
what Windows makes of every event; of Ctrl-Break Wine's C library knows nothing either, so
there the thread begins one step later, where that library would raise the signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
from ctypes import wintypes
from typing import Final

assert sys.platform == "win32"

__all__ = ["close", "press_break"]

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
    """Ctrl-Break: everybody is told at once."""
    for process in [_open(pid) for pid in pids]:
        _call(process, _address("ucrtbase", "raise"), signal.SIGBREAK)
        _kernel32.CloseHandle(process)


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
