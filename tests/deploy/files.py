"""The files of deploy/, and programs that read them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

__all__ = ["DEPLOY", "adapted", "program", "run"]

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"


def program(name: str) -> str:
    """Path of an installed program; the test is skipped without it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (sh tests/system_packages.sh deploy)")
    return found


def run(*command: str, text: str | None = None, cwd: Path = DEPLOY) -> str:
    """Run a check that has to succeed; what it printed."""
    done = subprocess.run(
        command,
        input=text,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def adapted(name: str, changes: Mapping[str, str]) -> str:
    """A shipped file with the places of this test in it; each change must apply."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text
