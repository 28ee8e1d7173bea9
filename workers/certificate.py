"""What a worker speaks TLS with: a certificate and its key, held in memory.

The files are read once, by the supervisor, for all workers: a worker that starts while an
operator replaces them needs neither.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Certificate", "server_context"]

_PROTOCOLS: Final = ["http/1.1"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate.

    Attributes:
        pem: private key, certificate and intermediate certificates, in PEM form.
        expires: Unix time in seconds after which clients refuse it.
    """

    pem: bytes = field(repr=False)
    expires: int = 0


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """What connections of a server are made with; TLS 1.2 and later.

    Raises:
        ssl.SSLError: when key and certificate cannot be used together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Not every Python has this from the start: Debian's leaves it to the configuration of OpenSSL.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(_PROTOCOLS)
    with _file_of(certificate.pem) as path:
        context.load_cert_chain(path, password=_no_password)
    return context


def _no_password() -> str:
    # Without this, OpenSSL would ask at the terminal.
    return ""


@contextmanager
def _file_of(data: bytes) -> Iterator[str]:
    """A path under which OpenSSL, which reads files alone, finds ``data``."""
    if hasattr(os, "memfd_create"):
        fd: int = os.memfd_create("certificate")
        try:
            os.write(fd, data)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
    else:
        fd, path = tempfile.mkstemp()
        try:
            with open(fd, "wb") as file:
                file.write(data)
            yield path
        finally:
            os.unlink(path)
