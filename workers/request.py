"""What a peer asks for, however its request was read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from websockets.http11 import Request

__all__ = ["HttpRequest", "RequestHeader", "http_request"]

_END: Final = b"\r\n\r\n"

_CREDENTIALS: Final = ("authorization", "host", "origin")
"""Fields by which access is decided; there may be one of each."""


@dataclass(slots=True)
class HttpRequest:
    """A request without its body, for there is none.

    Attributes:
        method: in capitals.
        target: path and query as they came.
        headers: values by names in lower case; those of a repeated field in one, with commas.
    """

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def wants_upgrade(self) -> bool:
        """Whether this is to become another protocol."""
        return "upgrade" in self.headers.get("connection", "").lower()


def http_request(request: Request) -> HttpRequest:
    """The request that websockets has read."""
    headers: dict[str, str] = {}
    repeated = set()
    for field, value in request.headers.raw_items():
        name = field.lower()
        if name in headers:
            repeated.add(name)
            headers[name] += f", {value}"
        else:
            headers[name] = value
    if not repeated.isdisjoint(_CREDENTIALS):
        # Treat them as absent, which grants nothing.
        for name in _CREDENTIALS:
            headers.pop(name, None)
        headers["origin"] = "null"
    return HttpRequest(request.method, request.path, headers)


class RequestHeader:
    """Finds the end of a header that comes in pieces.

    Attributes:
        size: its bytes so far.
    """

    __slots__ = ("_last", "size")

    def __init__(self) -> None:
        self.size = 0
        self._last = b""

    def take(self, data: bytes) -> int:
        """Take the next piece; how many of its bytes belong to the header."""
        seam = self._last + data
        found = seam.find(_END)
        length = len(data) if found < 0 else found + len(_END) - len(self._last)
        self._last = seam[1 - len(_END) :]
        self.size += length
        return length
