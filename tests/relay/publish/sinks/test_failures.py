"""Exceptions of a connection, in words."""

from __future__ import annotations

import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from websockets.frames import Close
from websockets.http11 import Response

from relay.publish.sinks.failures import NoAnswer, failure_of


def status(code: int, body: bytes = b"") -> InvalidStatus:
    return InvalidStatus(Response(code, "", Headers(), body))


@pytest.mark.parametrize(
    ("exc", "words", "code", "fatal"),
    [
        (ConnectionClosedError(Close(1008, "wrong token"), None), "wrong token", 1008, False),
        (ConnectionClosedOK(Close(1000, ""), None), "closed with code 1000", 1000, False),
        (ConnectionClosedError(None, None), "the connection broke", None, False),
        (status(401), "token", None, True),
        (status(403), "token", None, True),
        (status(404), "no relay at this address", None, True),
        (status(404, b"no such page\n"), "(no such page)", None, True),
        (status(429), "limits connections", None, False),
        (status(503), "HTTP 503", None, False),
        (InvalidURI("x", "y"), "redirects", None, True),
        (InvalidMessage("x"), "does not speak WebSocket", None, False),
        (ssl.SSLCertVerificationError(), "SSL_CERT_FILE", None, True),
        (ssl.SSLError(), "TLS failed", None, False),
        (socket.gaierror(-2, "x"), "cannot be resolved", None, False),
        (TimeoutError(), "no answer", None, False),
        (ConnectionRefusedError(111, "x"), "connection refused", None, False),
        (OSError("Multiple exceptions: [a], [b]"), "none of its host's addresses", None, False),
        (OSError(101, "Network is unreachable"), "Network is unreachable", None, False),
        (NoAnswer("not in time"), "not in time", None, False),
        (ValueError(), "ValueError", None, False),
    ],
)
def test_in_words(exc: Exception, words: str, code: int | None, fatal: bool) -> None:
    failure = failure_of(exc)
    assert words in failure.reason
    assert (failure.code, failure.fatal) == (code, fatal)
    assert "\n" not in failure.reason
