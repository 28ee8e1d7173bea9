"""The Windows part of the tests: the project's own code in a Windows Python.

On Linux that is a CPython for Windows under Wine (`build`), on Windows the one that runs
the tests. Where neither can be had, these tests are skipped with the reason in one line.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartPublisher, publishing
from tests.e2e.publishers import RunModule, run_module_here
from tests.windows.build import Unavailable, build
from tests.windows.pythons import Interpreter, NativePython, WindowsPython, wine_python
from tests.windows.windows_relay import WindowsRelay
from tests.windows.witness import Witness, witness

StartRelay = Callable[..., WindowsRelay]

_HERE = Path(__file__).parent
_NATIVE = _HERE / "native"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path == _NATIVE and sys.platform != "win32" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.windows)


@pytest.fixture(scope="session")
def _interpreter() -> Iterator[Interpreter]:
    with contextlib.ExitStack() as stack:
        if sys.platform == "win32":
            yield NativePython()
            return
        try:
            found = stack.enter_context(wine_python(build()))
        except Unavailable as exc:
            pytest.skip(str(exc))
        yield found


@pytest.fixture(scope="session")
def _witness(
    _interpreter: Interpreter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Witness]:
    with witness(WindowsPython(_interpreter, tmp_path_factory.mktemp("witness"))) as found:
        yield found


@pytest.fixture
def start_relay(windows: WindowsPython, _witness: Witness, instance: str) -> Iterator[StartRelay]:
    """Starts a relay in the Windows Python; see `WindowsRelay` for its arguments.

    Afterwards nothing of it may be left, neither processes nor shared memory.
    """
    started: list[WindowsRelay] = []

    def start(*options: str, ready: bool = True, **settings: Any) -> WindowsRelay:
        relay = WindowsRelay(windows, _witness, instance, *options, **settings)
        started.append(relay)
        if ready:
            relay.wait_ready()
        return relay

    yield start
    left = [found for relay in started for found in relay.clean_up()]
    for relay in started:
        print(relay.tail())
    assert not left, f"left behind: {left}"


@pytest.fixture
def publish(windows: WindowsPython, instance: str) -> Iterator[StartPublisher]:
    """Starts a publisher of `tests.e2e`: with ``shm`` in the Windows Python, else from here."""
    with publishing(instance, run_module=publisher_there(windows)) as start:
        yield start


def publisher_there(windows: WindowsPython) -> RunModule:
    """Starts what publishes into shared memory where that is, in the Windows Python."""

    def run_module(module: str, kind: str, *arguments: str) -> subprocess.Popen[str]:
        if kind == "shm":
            return windows.popen("-m", module, kind, *arguments, stderr=subprocess.DEVNULL)
        return run_module_here(module, kind, *arguments)

    return run_module


@pytest.fixture
def windows(_interpreter: Interpreter, tmp_path: Path) -> WindowsPython:
    """A Windows Python to run this project's code in."""
    return WindowsPython(_interpreter, tmp_path)
