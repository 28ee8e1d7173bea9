"""Noticing the parent's end, by the kernel's signal and by waiting for it."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from tests.platforms import posix_only

CHILD = """
import ctypes, os, sys, threading, psutil
if sys.argv[1] == "waiting":
    ctypes.CDLL = lambda *_, **__: object()  # a C library without prctl
from relay.parent import exit_with_parent
exit_with_parent(lambda: os._exit(0))
print(os.getpid(), flush=True)
threading.Event().wait()
"""
PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]]).wait()
"""


@posix_only
@pytest.mark.parametrize("how", ["by signal", "waiting"])
def test_a_killed_parent_takes_its_child_along(how: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, how], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        child.wait()
