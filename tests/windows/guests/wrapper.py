"""Runs what a service definition in ``deploy/windows`` says, and stops it, as WinSW does.

``python -m tests.windows.guests.wrapper DEFINITION BASE``; an interrupt is the request to stop
the service. The exit code is the program's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from typing import IO, Final
from xml.etree import ElementTree

assert sys.platform == "win32"

_CTRL_C: Final = 0  # CTRL_C_EVENT
_LOOK: Final = 0.05
"""Seconds; Python sees signals only between two waits."""


class Definition:
    """A service definition.

    Attributes:
        executable, arguments: the command.
        environment: of the process.
        patience: seconds from the request to stop until it is killed.
    """

    def __init__(self, file: str, base: str) -> None:
        service = ElementTree.parse(file).getroot()

        def text(name: str) -> str:
            return str(service.findtext(name)).replace("%BASE%", base)

        self.executable, self.arguments = text("executable"), text("arguments")
        more = {each.attrib["name"]: each.attrib["value"] for each in service.iter("env")}
        self.environment = {**os.environ, **more}
        number, unit = text("stoptimeout").split()
        assert unit == "sec"
        self.patience = float(number)


def main(file: str, base: str) -> int:
    definition = Definition(file, base)
    # As deploy/windows/README.md makes it; here it is the one that runs this.
    assert definition.executable == rf"{base}\venv\Scripts\python.exe"
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGBREAK):
        signal.signal(number, lambda *_: asked.set())
    process = subprocess.Popen(
        f'"{sys.executable}" {definition.arguments}',
        env=definition.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # With a console that nobody sees.
        creationflags=subprocess.CREATE_NO_WINDOW,
    )
    assert process.stdout and process.stderr
    logs = [
        threading.Thread(target=_copy, args=(stream, log), daemon=True)
        for stream, log in zip(
            (process.stdout, process.stderr), (sys.stdout.buffer, sys.stderr.buffer), strict=True
        )
    ]
    for each in logs:
        each.start()
    while process.poll() is None and not asked.wait(_LOOK):
        pass
    if process.returncode is None:
        _press_control_c(process.pid)
    code = process.wait(definition.patience)
    for each in logs:
        each.join()
    return code


def _copy(stream: IO[bytes], log: IO[bytes]) -> None:
    with stream:
        for line in stream:
            log.write(line)
            log.flush()


def _press_control_c(pid: int) -> None:
    """In the console of another process, which all that it started share."""
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    # A service has none of its own.
    kernel32.FreeConsole()
    if not (
        kernel32.AttachConsole(pid)
        and kernel32.SetConsoleCtrlHandler(None, True)
        and kernel32.GenerateConsoleCtrlEvent(_CTRL_C, 0)
        # Or it would stay, and with it the pipes that its host got from its first process.
        and kernel32.FreeConsole()
    ):
        raise ctypes.WinError(ctypes.get_last_error())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
