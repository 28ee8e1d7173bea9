"""C programs of this folder, compiled when first needed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["BUILD", "MissingError", "compiled"]

BUILD = Path(__file__).parents[2] / "build" / "bench"


class MissingError(Exception):
    """Something cannot be had on this machine; the text says what, in one line."""


def compiled(source: Path) -> Path:
    """The program made of a C file, which is made anew when a source is newer.

    Raises:
        MissingError: no compiler, or it refuses.
    """
    program = BUILD / source.stem
    sources = [source, *source.parent.glob("*.h")]
    if program.exists() and program.stat().st_mtime > max(s.stat().st_mtime for s in sources):
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise MissingError(f"{source.name} needs a C compiler, and there is no cc")
    BUILD.mkdir(parents=True, exist_ok=True)
    made = program.with_suffix(".new")
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(made), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        error = next((line for line in done.stderr.splitlines() if "error" in line), "cc failed")
        raise MissingError(f"{source.name} does not compile: {error}")
    made.replace(program)
    return program
