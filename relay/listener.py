"""The one listening socket: made by the supervisor, accepted from by workers alone.

A worker that dies refuses nobody, because the queue of connections belongs to this socket
and not to the worker. That is also why there is no SO_REUSEPORT: it gives each worker a
queue of its own, which dies with it.

A worker is given it when it is spawned (`relay.system.hand_over`); how it is accepted from
there is the workers' affair.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import Final

from relay.errors import ListenError
from relay.system import claim_address

__all__ = ["open_listener", "url_of"]

BACKLOG: Final = 4096
"""Connections that may wait; the kernel's own limit (somaxconn) may be lower."""


def open_listener(host: str, port: int) -> socket.socket:
    """A non-blocking listening socket.

    Args:
        host: name or address, IPv4 or IPv6; ``::`` also takes IPv4.
        port: 0 picks a free one.

    Raises:
        ListenError: one line with the remedy.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no host name"
        raise ListenError(f"cannot listen on host {host!r}: {reason}") from None
    listener = socket.socket(family, kind, protocol)
    try:
        claim_address(listener)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as exc:
        listener.close()
        raise ListenError(_explain(exc, host, port)) from None
    return listener


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use; stop the program that uses it, "
            "or choose another with --port (0 picks a free one)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than this user has; choose one from 1024 up"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; choose another with --host"
    return f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0).lower()}"


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """A URL that a browser on this machine can open."""
    address = listener.getsockname()
    host, port = address[0], address[1]
    parsed = ipaddress.ip_address(host.partition("%")[0])
    if parsed.is_unspecified:
        host = "127.0.0.1" if parsed.version == 4 else "::1"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
