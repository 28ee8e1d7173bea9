"""The part of the kernel's io_uring interface that the engine uses: numbers, layouts, calls.

After ``include/uapi/linux/io_uring.h``; no other file holds an offset or a number of it. In
brackets the first kernel that has each; `DEFER_TASKRUN` makes 6.1 the oldest that will do.
Numbers of system calls are the same on all architectures.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Final

import numpy as np

__all__ = [
    "ASYNC_CANCEL",
    "CQE",
    "CQE_SKIP_SUCCESS",
    "CQ_OVERFLOW",
    "EVENTFD_DISABLED",
    "GETEVENTS",
    "MSG_DONTWAIT",
    "MSG_NOSIGNAL",
    "MSG_WAITALL",
    "NOP",
    "OFF_SQES",
    "SEND",
    "SETUP_FLAGS",
    "SQE",
    "TASKRUN",
    "Params",
    "address_of",
    "enter",
    "make_event",
    "register_eventfd",
    "setup",
]

_SYS_SETUP: Final = 425  # [5.1]
_SYS_ENTER: Final = 426  # [5.1]
_SYS_REGISTER: Final = 427  # [5.1]
_REGISTER_EVENTFD: Final = 4  # [5.2]

_SETUP_CQSIZE: Final = 1 << 3  # [5.5] the completion queue's size is ours to say
_SETUP_SUBMIT_ALL: Final = 1 << 7  # [5.18] one bad entry does not end a batch
_SETUP_TASKRUN_FLAG: Final = 1 << 9  # [5.19] the queue's flags tell of deferred work
_SETUP_SINGLE_ISSUER: Final = 1 << 12  # [6.0] only this thread submits
_SETUP_DEFER_TASKRUN: Final = 1 << 13  # [6.1] completions are posted within our calls only
SETUP_FLAGS: Final = (
    _SETUP_CQSIZE
    | _SETUP_SUBMIT_ALL
    | _SETUP_TASKRUN_FLAG
    | _SETUP_SINGLE_ISSUER
    | _SETUP_DEFER_TASKRUN
)

GETEVENTS: Final = 1 << 0  # for enter: run deferred work, flush what overflowed
CQ_OVERFLOW: Final = 1 << 1  # in the submission queue's flags: completions wait in the kernel
TASKRUN: Final = 1 << 2  # in the same flags: deferred work waits for `GETEVENTS`

EVENTFD_DISABLED: Final = 1 << 0  # [5.8] in the completion queue's flags, ours to set

NOP: Final = 0  # [5.1]
ASYNC_CANCEL: Final = 14  # [5.5] `addr` is the user_data of what to cancel
SEND: Final = 26  # [5.6]; goes on by itself after a short send under MSG_WAITALL [5.19]

CQE_SKIP_SUCCESS: Final = 1 << 6  # [5.17] in an entry's flags: no completion unless it fails

MSG_DONTWAIT: Final = 0x40
MSG_WAITALL: Final = 0x100
MSG_NOSIGNAL: Final = 0x4000

OFF_SQES: Final = 0x1000_0000
"""Where the submission entries are mapped; both queues are at 0 [5.4]."""

SQE: Final = np.dtype(
    [
        ("opcode", "u1"),
        ("flags", "u1"),
        ("ioprio", "u2"),
        ("fd", "i4"),
        ("off", "u8"),
        ("addr", "u8"),
        ("len", "u4"),
        ("op_flags", "u4"),
        ("user_data", "u8"),
        ("buf_index", "u2"),
        ("personality", "u2"),
        ("splice_fd_in", "i4"),
        ("addr3", "u8"),
        ("pad", "u8"),
    ]
)
"""What is to be done, 64 bytes."""

CQE: Final = struct.Struct("QiI")
"""What became of it, 16 bytes: ``user_data``, ``res`` (a negative one is an errno), ``flags``."""


class _SubmissionOffsets(ctypes.Structure):
    """Where the submission queue's fields are, in bytes from the mapping's beginning."""

    head: int
    tail: int
    flags: int
    array: int

    _fields_ = (
        ("head", ctypes.c_uint32),
        ("tail", ctypes.c_uint32),
        ("ring_mask", ctypes.c_uint32),
        ("ring_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("dropped", ctypes.c_uint32),
        ("array", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("user_addr", ctypes.c_uint64),
    )


class _CompletionOffsets(ctypes.Structure):
    """The same of the completion queue."""

    head: int
    tail: int
    cqes: int
    flags: int

    _fields_ = (
        ("head", ctypes.c_uint32),
        ("tail", ctypes.c_uint32),
        ("ring_mask", ctypes.c_uint32),
        ("ring_entries", ctypes.c_uint32),
        ("overflow", ctypes.c_uint32),
        ("cqes", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("user_addr", ctypes.c_uint64),
    )


class Params(ctypes.Structure):
    """What is asked of `setup`, and what it answers, 120 bytes."""

    sq_entries: int
    cq_entries: int
    flags: int
    sq_off: _SubmissionOffsets
    cq_off: _CompletionOffsets

    _fields_ = (
        ("sq_entries", ctypes.c_uint32),
        ("cq_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("sq_thread_cpu", ctypes.c_uint32),
        ("sq_thread_idle", ctypes.c_uint32),
        ("features", ctypes.c_uint32),
        ("wq_fd", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
        ("sq_off", _SubmissionOffsets),
        ("cq_off", _CompletionOffsets),
    )


_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long] * 7

_bytes_address = ctypes.pythonapi.PyBytes_AsString
_bytes_address.restype = ctypes.c_void_p
_bytes_address.argtypes = [ctypes.py_object]

_BYTES_START: Final[int] = _bytes_address(b"") - id(b"")
"""In CPython an object's identity is its address, and its bytes are a part of it."""


def address_of(data: bytes) -> int:
    """Where the bytes of ``data`` are in memory, as long as somebody refers to it."""
    return id(data) + _BYTES_START


def setup(entries: int, params: Params) -> int:
    """Make a ring; its descriptor, closed on exec.

    Raises:
        OSError: the kernel's refusal.
    """
    return _call(_SYS_SETUP, entries, ctypes.addressof(params), 0, 0)


def enter(ring: int, submit: int, wait: int, flags: int) -> int:
    """Submit entries and wait for completions; how many entries the kernel took.

    Raises:
        OSError: the kernel's refusal; it took none.
    """
    taken: int = _syscall(_SYS_ENTER, ring, submit, wait, flags, 0, 0)
    if taken < 0:
        raise _refusal()
    return taken


def make_event() -> int:
    """An eventfd, for `register_eventfd`."""
    if sys.platform != "linux":
        raise NotImplementedError
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


def register_eventfd(ring: int, event: int) -> None:
    """Let the ring signal completions, and deferred work, on an eventfd.

    Raises:
        OSError: the kernel's refusal.
    """
    number = ctypes.c_int(event)
    _call(_SYS_REGISTER, ring, _REGISTER_EVENTFD, ctypes.addressof(number), 1)


def _call(number: int, first: int, second: int, third: int, fourth: int) -> int:
    result: int = _syscall(number, first, second, third, fourth, 0, 0)
    if result < 0:
        raise _refusal()
    return result


def _refusal() -> OSError:
    error = ctypes.get_errno()
    return OSError(error, os.strerror(error))
