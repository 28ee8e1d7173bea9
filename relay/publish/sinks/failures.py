"""Puts exceptions of a WebSocket connection into words. Pure."""

from __future__ import annotations

import socket
import ssl

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)

from relay.publish.sinks.reconnect import Failure

__all__ = ["NoAnswer", "failure_of"]

_BY_STATUS = {
    401: "the relay wants a valid token; pass --token-file FILE or set RELAY_TOKEN",
    403: "the relay does not allow this; check the token, and that it may publish this stream",
    404: "there is no relay at this address; check host, port and path of --to",
    429: "the relay limits connections from this address",
}
_RETRY_STATUS = frozenset({408, 425, 429})


class NoAnswer(Exception):
    """The relay accepted the connection but not the stream in time."""


def failure_of(exc: Exception) -> Failure:
    """What an exception from connecting or from a connection means."""
    if isinstance(exc, ConnectionClosed):
        if exc.rcvd is None:
            return Failure("the connection broke")
        reason = exc.rcvd.reason or f"closed with code {exc.rcvd.code}"
        return Failure(reason, exc.rcvd.code)
    if isinstance(exc, InvalidStatus):
        return _status_failure(exc)
    if isinstance(exc, InvalidURI):
        return Failure("the relay redirects to something that is no WebSocket", fatal=True)
    if isinstance(exc, InvalidProxy):
        return Failure(f"the proxy is not usable: {exc}", fatal=True)
    if isinstance(exc, InvalidHandshake):
        return Failure("what answers there does not speak WebSocket")
    if isinstance(exc, ssl.SSLCertVerificationError):
        why = getattr(exc, "verify_message", "") or "not trusted"
        return Failure(
            f"its TLS certificate is not valid: {why}; point SSL_CERT_FILE at your authority",
            fatal=True,
        )
    if isinstance(exc, ssl.SSLError):
        return Failure("TLS failed; is it wss:// that the relay speaks there?")
    if isinstance(exc, socket.gaierror):
        return Failure("its host name cannot be resolved")
    if isinstance(exc, TimeoutError):
        return Failure("no answer")
    if isinstance(exc, ConnectionRefusedError):
        return Failure("connection refused")
    if isinstance(exc, NoAnswer):
        return Failure(str(exc))
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    if text.startswith("Multiple exceptions"):  # asyncio's, for a host with several addresses
        text = "none of its host's addresses can be reached"
    return Failure(text)


def _status_failure(exc: InvalidStatus) -> Failure:
    status = exc.response.status_code
    words = _BY_STATUS.get(status, f"the relay answered HTTP {status}")
    body = (exc.response.body or b"")[:200].decode("utf-8", "replace").strip()
    if body and body.isprintable():
        words = f"{words} ({body})"
    return Failure(words, fatal=400 <= status < 500 and status not in _RETRY_STATUS)
