"""Which engine a worker uses, and what it says where io_uring is denied."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import multiprocessing
import platform
import sys

import pytest

from workers.engines.choose import choose_engine
from workers.table import ENGINES

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="io_uring is Linux's")
FILTERED = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="the test's seccomp filter is for Linux on x86-64 and ARM64",
)
_IO_URING_SETUP = 425


async def _choose(wanted: str) -> str:
    engine = choose_engine(wanted)
    name = engine.name
    engine.close()
    return name


def test_auto_finds_one_that_the_table_can_name() -> None:
    assert asyncio.run(_choose("auto")) in ENGINES


def test_asyncio_is_everywhere() -> None:
    assert asyncio.run(_choose("asyncio")) == "asyncio"


def test_a_name_that_is_no_engine() -> None:
    with pytest.raises(ValueError, match="unknown engine 'steam'"):
        choose_engine("steam")


def _deny(error: int) -> None:
    """Let io_uring_setup fail with ``error`` in this process, as a container's filter does."""

    class Instruction(ctypes.Structure):
        _fields_ = (
            ("code", ctypes.c_uint16),
            ("jt", ctypes.c_uint8),
            ("jf", ctypes.c_uint8),
            ("k", ctypes.c_uint32),
        )

    class Program(ctypes.Structure):
        _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(Instruction)))

    # Load the system call's number; errno for one of them, all others are allowed.
    code = (Instruction * 4)(
        Instruction(0x20, 0, 0, 0),
        Instruction(0x15, 0, 1, _IO_URING_SETUP),
        Instruction(0x06, 0, 0, 0x0005_0000 | error),
        Instruction(0x06, 0, 0, 0x7FFF_0000),
    )
    program = Program(len(code), code)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert (
        prctl(38, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0
    )
    assert prctl(22, ctypes.c_ulong(2), ctypes.byref(program)) == 0


def _denied(error: int, wanted: str, results: multiprocessing.SimpleQueue[object]) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("workers").addHandler(handler)
    _deny(error)
    results.put((asyncio.run(_choose(wanted)), lines))


@FILTERED
@pytest.mark.parametrize("wanted", ["auto", "uring"])
@pytest.mark.parametrize(
    ("error", "remedy"),
    [(errno.EPERM, "seccomp"), (errno.ENOSYS, "seccomp"), (errno.EINVAL, "6.1 is needed")],
)
def test_where_io_uring_is_denied_asyncio_serves(error: int, remedy: str, wanted: str) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    child = context.Process(target=_denied, args=(error, wanted, results))
    child.start()
    name, lines = results.get()
    child.join()
    assert name == "asyncio"
    assert len(lines) == 1 and remedy in lines[0]


@LINUX
def test_without_numpy_asyncio_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in [name for name in sys.modules if name.startswith("workers.engines.uring")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert asyncio.run(_choose("auto")) == "asyncio"
    assert len(caplog.records) == 1
    assert "install numpy" in caplog.text
