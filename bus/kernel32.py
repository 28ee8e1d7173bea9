"""The few Windows calls that the bus needs and Python does not offer.

Thin: arguments and results are Python's own, a failure is the `OSError` that the system
tells. Handles are plain integers, are never inherited by child processes, and belong to
whoever asked for them.
"""

from __future__ import annotations

import _winapi
import contextlib
import ctypes
import functools
import math
import os
import sys
import time
from ctypes import wintypes
from typing import Final

assert sys.platform == "win32"

__all__ = [
    "close_handle",
    "create_event",
    "create_mapping",
    "free_memory",
    "lock_range",
    "open_event",
    "open_mapping",
    "reset_event",
    "session_id",
    "set_event",
    "unlock_range",
    "wait_for",
]

_ERROR_FILE_NOT_FOUND: Final = 2
_ERROR_LOCK_VIOLATION: Final = 33
_ERROR_IO_PENDING: Final = 997
_ERROR_ALREADY_EXISTS: Final = 183
_LOCKFILE_FAIL_IMMEDIATELY: Final = 1
_LOCKFILE_EXCLUSIVE_LOCK: Final = 2
_FILE_MAP_READ_WRITE: Final = 6
_EVENT_MODIFY_STATE: Final = 2
_PAGE_READWRITE: Final = 4


class _Overlapped(ctypes.Structure):
    _fields_ = (
        ("Internal", ctypes.c_size_t),
        ("InternalHigh", ctypes.c_size_t),
        ("Offset", wintypes.DWORD),
        ("OffsetHigh", wintypes.DWORD),
        ("hEvent", wintypes.HANDLE),
    )


class _MemoryStatus(ctypes.Structure):
    _fields_ = (
        ("dwLength", wintypes.DWORD),
        ("dwMemoryLoad", wintypes.DWORD),
        ("ullTotalPhys", ctypes.c_uint64),
        ("ullAvailPhys", ctypes.c_uint64),
        ("ullTotalPageFile", ctypes.c_uint64),
        ("ullAvailPageFile", ctypes.c_uint64),
        ("ullTotalVirtual", ctypes.c_uint64),
        ("ullAvailVirtual", ctypes.c_uint64),
        ("ullAvailExtendedVirtual", ctypes.c_uint64),
    )


_dll = ctypes.WinDLL("kernel32", use_last_error=True)
_DWORD, _HANDLE, _BOOL, _NAME = (
    wintypes.DWORD,
    wintypes.HANDLE,
    wintypes.BOOL,
    wintypes.LPCWSTR,
)
_OVERLAPPED = ctypes.POINTER(_Overlapped)

_dll.LockFileEx.argtypes = (_HANDLE, _DWORD, _DWORD, _DWORD, _DWORD, _OVERLAPPED)
_dll.UnlockFileEx.argtypes = (_HANDLE, _DWORD, _DWORD, _DWORD, _OVERLAPPED)
_dll.CreateFileMappingW.argtypes = (_HANDLE, wintypes.LPVOID, _DWORD, _DWORD, _DWORD, _NAME)
_dll.CreateFileMappingW.restype = _HANDLE
_dll.OpenFileMappingW.argtypes = (_DWORD, _BOOL, _NAME)
_dll.OpenFileMappingW.restype = _HANDLE
_dll.CreateEventW.argtypes = (wintypes.LPVOID, _BOOL, _BOOL, _NAME)
_dll.CreateEventW.restype = _HANDLE
_dll.OpenEventW.argtypes = (_DWORD, _BOOL, _NAME)
_dll.OpenEventW.restype = _HANDLE
_dll.SetEvent.argtypes = (_HANDLE,)
_dll.ResetEvent.argtypes = (_HANDLE,)
_dll.CloseHandle.argtypes = (_HANDLE,)
_dll.ProcessIdToSessionId.argtypes = (_DWORD, ctypes.POINTER(_DWORD))
_dll.GlobalMemoryStatusEx.argtypes = (ctypes.POINTER(_MemoryStatus),)


def _failure() -> OSError:
    return ctypes.WinError(ctypes.get_last_error())


def _checked(handle: int | None) -> int:
    if not handle:
        raise _failure()
    return handle


def close_handle(handle: int) -> None:
    """Give a handle back."""
    _dll.CloseHandle(handle)


# Memory.


def create_mapping(name: str, size: int) -> int:
    """Make named memory of ``size`` zeroed bytes, committed now and not when it is touched.

    Raises:
        FileExistsError: the name is in use.
        OSError: there is not enough memory, among other things.
    """
    high, low = size >> 32, size & 0xFFFFFFFF
    handle = _checked(
        _dll.CreateFileMappingW(
            _winapi.INVALID_HANDLE_VALUE, None, _PAGE_READWRITE, high, low, name
        )
    )
    if ctypes.get_last_error() == _ERROR_ALREADY_EXISTS:
        close_handle(handle)
        raise FileExistsError(name)
    return handle


def open_mapping(name: str) -> int:
    """A handle to named memory.

    Raises:
        FileNotFoundError: no process holds memory of that name.
    """
    return _checked(_dll.OpenFileMappingW(_FILE_MAP_READ_WRITE, False, name))


def free_memory() -> int:
    """Bytes that can still be committed, in memory and page file together."""
    status = _MemoryStatus(dwLength=ctypes.sizeof(_MemoryStatus))
    _dll.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.ullAvailPageFile)


# Locks.


def lock_range(
    file: int, offset: int, length: int = 1, *, wait: bool, shared: bool = False
) -> bool:
    """Lock bytes of an open file; the lock belongs to the handle and ends with it.

    Args:
        file: handle of the file, which need not have bytes there.
        offset, length: the bytes.
        wait: until nobody holds a lock in the way.
        shared: others may lock it shared, too.

    Returns:
        Whether it is locked now.
    """
    place = _Overlapped(Offset=offset & 0xFFFFFFFF, OffsetHigh=offset >> 32)
    flags = (0 if wait else _LOCKFILE_FAIL_IMMEDIATELY) | (
        0 if shared else _LOCKFILE_EXCLUSIVE_LOCK
    )
    low, high = length & 0xFFFFFFFF, length >> 32
    if _dll.LockFileEx(file, flags, 0, low, high, ctypes.byref(place)):
        return True
    if ctypes.get_last_error() not in (_ERROR_LOCK_VIOLATION, _ERROR_IO_PENDING):
        raise _failure()
    return False


def unlock_range(file: int, offset: int, length: int = 1) -> None:
    """Give up a lock of exactly these bytes."""
    place = _Overlapped(Offset=offset & 0xFFFFFFFF, OffsetHigh=offset >> 32)
    low, high = length & 0xFFFFFFFF, length >> 32
    if not _dll.UnlockFileEx(file, 0, low, high, ctypes.byref(place)):
        raise _failure()


# Events.


def create_event(name: str) -> int:
    """A handle to the named manual-reset event, made now or before, by whomever."""
    return _checked(_dll.CreateEventW(None, True, False, name))


def open_event(name: str) -> int | None:
    """A handle to a named event, to set it; None when no process holds one of that name."""
    handle: int | None = _dll.OpenEventW(_EVENT_MODIFY_STATE, False, name)
    if not handle and ctypes.get_last_error() != _ERROR_FILE_NOT_FOUND:
        raise _failure()
    return handle or None


def set_event(event: int) -> bool:
    """Signal an event; it stays signalled."""
    return bool(_dll.SetEvent(event))


def reset_event(event: int) -> None:
    """End an event's signal."""
    _dll.ResetEvent(event)


def wait_for(handle: int, timeout: float | None) -> bool:
    """Block until a handle is signalled, at most ``timeout`` seconds; whether it is.

    In the main thread, Ctrl-C is answered meanwhile.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        milliseconds = _winapi.INFINITE
        if deadline is not None:
            left = max(0.0, deadline - time.monotonic())
            milliseconds = min(math.ceil(left * 1000), _winapi.INFINITE - 1)
        # Not WaitForSingleObject, which Ctrl-C does not interrupt.
        with contextlib.suppress(InterruptedError):
            found = _winapi.WaitForMultipleObjects([handle], False, milliseconds)
            return found == _winapi.WAIT_OBJECT_0


@functools.cache
def session_id() -> int:
    """Number of the logon session, within which plain object names are known."""
    number = _DWORD()
    if not _dll.ProcessIdToSessionId(os.getpid(), ctypes.byref(number)):
        raise _failure()
    return int(number.value)
