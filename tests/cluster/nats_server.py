"""Real NATS servers for tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.waiting import wait_until

__all__ = ["NatsServer", "free_port", "program"]

_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def program(name: str) -> str:
    """Where a program is; the test is skipped when it is nowhere."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed (sh tests/system_packages.sh cluster)")
    return found


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NatsServer:
    """One server on a port of its own, also after it was killed and started again.

    Attributes:
        host, port: where it listens.
    """

    def __init__(
        self,
        log: Path,
        *options: str,
        host: str = "127.0.0.1",
        config: Path | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """Prepare it; `start` starts it.

        Args:
            log: takes what it writes.
            *options: further options.
            host: address to listen on.
            config: its configuration, which must not set the address.
            prefix: command that runs it.
        """
        self.host, self.port = host, free_port()
        self._monitor = free_port()
        self._log = log
        self._command = [*prefix, program("nats-server"), "-a", host, "-p", str(self.port)]
        self._command += [
            "-m",
            str(self._monitor),
            *options,
            *(["-c", str(config)] if config else []),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For ``--cluster``."""
        return f"nats://{self.host}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it is ready."""
        before = self._ready_lines()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(lambda: self._ready_lines() > before, lambda: f"NATS: {self.log()}")

    def _ready_lines(self) -> int:
        return self.log().count("Server is ready")

    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def connections(self) -> int:
        """How many it has."""
        with urllib.request.urlopen(f"http://{self.host}:{self._monitor}/varz") as answer:
            return int(json.load(answer)["connections"])

    def reload(self) -> None:
        """Let it read its configuration again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """kill -9, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
