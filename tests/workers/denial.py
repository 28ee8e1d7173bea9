"""Denies io_uring to this thread and what it starts, as a container's seccomp filter does."""

from __future__ import annotations

import ctypes
import platform
import sys

import pytest

__all__ = ["FILTERED", "deny_io_uring"]

FILTERED = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="optional: the test's seccomp filter is for Linux on x86-64 and ARM64",
)
_IO_URING_SETUP = 425
_SET_SECCOMP, _FILTER_MODE, _NO_NEW_PRIVILEGES = 22, 2, 38
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def deny_io_uring(error: int) -> None:
    """Let io_uring_setup fail with ``error`` from now on."""
    # Load the system call's number; errno for one of them, all others are allowed.
    code = (_Instruction * 4)(
        _Instruction(0x20, 0, 0, 0),
        _Instruction(0x15, 0, 1, _IO_URING_SETUP),
        _Instruction(0x06, 0, 0, _ERRNO | error),
        _Instruction(0x06, 0, 0, _ALLOW),
    )
    program = _Program(len(code), code)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    none = ctypes.c_ulong(0)
    assert prctl(_NO_NEW_PRIVILEGES, ctypes.c_ulong(1), none, none, none) == 0
    assert prctl(_SET_SECCOMP, ctypes.c_ulong(_FILTER_MODE), ctypes.byref(program)) == 0
