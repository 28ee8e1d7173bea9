"""Certificates made by tests, with Debian's or anybody's openssl."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.platforms import WINDOWS

__all__ = ["Pair", "make_pair", "openssl"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A self-signed certificate for this host and its key."""

    cert: Path
    key: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """What a supervisor is told."""
        return ("--tls-cert", str(self.cert), "--tls-key", str(self.key))

    def trust(self) -> ssl.SSLContext:
        """What a client that trusts it alone connects with."""
        return ssl.create_default_context(cafile=self.cert)


def openssl(*arguments: str, cwd: Path) -> None:
    """Run it; the test is skipped where there is none."""
    if shutil.which("openssl") is None:
        optional = "optional: " * WINDOWS
        pytest.skip(f"{optional}openssl is not installed (sh tests/system_packages.sh deploy)")
    subprocess.run(("openssl", *arguments), cwd=cwd, check=True, capture_output=True)


def make_pair(folder: Path, name: str = "relay") -> Pair:
    """A new pair, written over one of the same name."""
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
        cwd=folder,
    )
    return Pair(folder / f"{name}.pem", folder / f"{name}.key")
