"""The Windows part of the tests: the project's own code in a Windows Python.

On Linux that is a CPython for Windows under Wine (`build`), on Windows the one that runs
the tests. Where neither can be had, these tests are skipped with the reason in one line.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.windows.build import Unavailable, build
from tests.windows.pythons import Interpreter, NativePython, WindowsPython, wine_python

_HERE = Path(__file__).parent
_NATIVE = _HERE / "native"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "windows: runs project code in a Windows Python")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path == _NATIVE and sys.platform != "win32":
        return True
    # For the time being only on demand: pytest tests/windows
    named = [config.invocation_params.dir / arg.partition("::")[0] for arg in config.args]
    return None if any(_HERE in (path, *path.parents) for path in named) else True


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


@pytest.fixture
def windows(_interpreter: Interpreter, tmp_path: Path) -> WindowsPython:
    """A Windows Python to run this project's code in."""
    return WindowsPython(_interpreter, tmp_path)
