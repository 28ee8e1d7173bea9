"""Arrows between packages point one way: bus <- workers <- relay."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "bus": {"bus"},
    "workers": {"bus", "workers"},
    "relay": {"bus", "workers", "relay"},
}
OURS = {*MAY_IMPORT, "tests"}
SOURCES = [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def imported(source: str, package: str) -> Iterator[str]:
    """Top-level names of all that a module imports, wherever in it the import stands.

    Args:
        package: the top-level package that the module lies in.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(level=0, module=str(module)):
                yield module.partition(".")[0]
            case ast.ImportFrom():
                yield package


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import os.path, relay.cli as cli", ["os", "relay"]),
        ("from workers.hub import Hub", ["workers"]),
        ("from . import ring\nfrom .ring import Record", ["bus", "bus"]),
        ("def f():\n    import relay", ["relay"]),
        ("if TYPE_CHECKING:\n    from relay import x", ["relay"]),
    ],
)
def test_every_form_of_import_is_seen(source: str, names: list[str]) -> None:
    assert list(imported(source, "bus")) == names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downward(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    names = set(imported(path.read_text(encoding="utf-8"), package))
    assert names & OURS <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", sorted((ROOT / "bus").rglob("*.py")), ids=lambda path: path.name)
def test_bus_needs_only_the_standard_library_and_msgpack(path: Path) -> None:
    names = set(imported(path.read_text(encoding="utf-8"), "bus"))
    # What does the same as a part of the standard library, where it is installed.
    optional = {"zlib_ng"} if path.name == "checksum.py" else set()
    assert names <= {*sys.stdlib_module_names, "bus", "msgpack", *optional}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_are_imported_from_their_own_folders(package: str) -> None:
    """And not from the folder of their tests, which has the same name."""
    module = importlib.import_module(package)
    assert module.__file__ is not None
    assert Path(module.__file__) == ROOT / package / "__init__.py"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_test_folder_shadows_a_package(package: str) -> None:
    """Without `tests/__init__.py` pytest would put `tests` on the path."""
    folder = ROOT / "tests" / package
    while folder != ROOT:
        assert (folder / "__init__.py").is_file(), folder
        folder = folder.parent
    assert str(ROOT / "tests") not in sys.path


def test_every_test_folder_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
