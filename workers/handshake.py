"""The plain WebSocket handshake in one step: what browsers and programs send nearly always.

websockets reads any request, and takes twenty times as long over it as over this one. What is
read here, it reads in the same way and answers with the same response (without the ``Date``,
which says nothing here); whatever is odd in any way is left to it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1
from typing import Final

from workers.request import HttpRequest

__all__ = ["plain_handshake"]

_LENGTH_LIMIT: Final = 8192
"""Bytes; one line of a request may be that long for websockets."""
_FIELDS_LIMIT: Final = 100
"""Header fields; websockets takes some more."""
_REQUEST: Final = re.compile(
    rb"GET (/[!-~]*) HTTP/1\.1\r\n((?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)+)\r\n"
)
_KEY: Final = re.compile(r"[0-9A-Za-z+/]{22}==")
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONNECTION: Final = frozenset({"upgrade", "keep-alive, upgrade"})
_UNUSUAL: Final = frozenset({"content-length", "transfer-encoding", "sec-websocket-protocol"})
_RESPONSE: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\n\r\n"
)


def plain_handshake(data: bytes) -> tuple[HttpRequest, bytes] | None:
    """The request that ``data`` is, and the response that accepts it (RFC 6455, section 4.2).

    None when ``data`` is anything but one whole, plain handshake.
    """
    found = _REQUEST.fullmatch(data)
    if found is None or len(data) > _LENGTH_LIMIT:
        return None
    target, fields = found.group(1, 2)
    lines = fields.decode("ascii").split("\r\n")
    lines.pop()
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip(" \t")
    if not (
        len(headers) == len(lines) <= _FIELDS_LIMIT
        and headers.get("connection", "").lower() in _CONNECTION
        and headers.get("upgrade", "").lower() == "websocket"
        and headers.get("sec-websocket-version") == "13"
        and _UNUSUAL.isdisjoint(headers)
    ):
        return None
    key = headers.get("sec-websocket-key", "")
    if _KEY.fullmatch(key) is None:
        return None
    accepted = b64encode(sha1((key + _GUID).encode(), usedforsecurity=False).digest())
    return HttpRequest("GET", target.decode("ascii"), headers), _RESPONSE % accepted
