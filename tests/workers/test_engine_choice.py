"""Which engine a worker uses, and what it says where io_uring is denied."""

from __future__ import annotations

import asyncio
import errno
import logging
import multiprocessing
import sys
from pathlib import Path

import pytest

from tests.workers.denial import FILTERED, deny_io_uring
from workers.engines import choose
from workers.engines.choose import choose_engine
from workers.table import ENGINES

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="optional: io_uring is Linux's")


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


def _denied(
    error: int, wanted: str, switch: Path, results: multiprocessing.SimpleQueue[object]
) -> None:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("workers").addHandler(handler)
    choose._SWITCH = switch  # type: ignore[misc]
    deny_io_uring(error)
    results.put((asyncio.run(_choose(wanted)), lines))


@FILTERED
@pytest.mark.parametrize("wanted", ["auto", "uring"])
@pytest.mark.parametrize(
    ("error", "switch", "remedy"),
    [
        pytest.param(errno.EPERM, "0", "seccomp filter forbids it", id="a filter"),
        pytest.param(errno.ENOSYS, "0", "seccomp filter forbids it", id="a filter that hides it"),
        pytest.param(errno.EPERM, "2", "set sysctl kernel.io_uring_disabled=0", id="sysctl"),
        pytest.param(errno.EINVAL, "0", "too old: 6.1 is needed", id="an old kernel"),
        pytest.param(errno.ENOMEM, "0", "raise RLIMIT_MEMLOCK", id="no memory"),
    ],
)
def test_uring_denied_falls_back(
    error: int, switch: str, remedy: str, wanted: str, tmp_path: Path
) -> None:
    said = tmp_path / "io_uring_disabled"
    said.write_text(switch + "\n")
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    child = context.Process(target=_denied, args=(error, wanted, said, results))
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
