"""What a worker needs from the product above it, as interfaces.

The product implements these and hands them in, so workers import nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

__all__ = ["ADMIN_PREFIX", "Action", "Authorizer", "PageRequest", "PageResponse", "Pages", "Peer"]


ADMIN_PREFIX: Final = "/api/admin/"
"""What an operator does is a POST to a path below this; all else is read."""


class Action(Enum):
    """What somebody wants to do with a stream."""

    VIEW = "view"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is asking.

    Attributes:
        address: IP address without port, as the socket sees it.
        token: bearer token or ``?token=``; None when there was none.
        origin: the browser's ``Origin`` header; None for programs.
        host: the ``Host`` header; None when absent.
        forwarded: whether a proxy stands between: the address is then the proxy's.
    """

    address: str
    token: str | None = None
    origin: str | None = None
    host: str | None = None
    forwarded: bool = False


class Authorizer(Protocol):
    """Decides who may view and publish."""

    def refusal(self, action: Action, stream: str, peer: Peer) -> str | None:
        """None when allowed, else the reason in words for the peer.

        The words never contain a secret.
        """


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request that is no WebSocket handshake.

    Attributes:
        path: path without query, percent-decoded.
        query: first value of each query parameter.
        headers: names in lower case.
        peer: who is asking.
        method: ``GET``, ``HEAD``, or ``POST``.
    """

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    peer: Peer
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class PageResponse:
    """An answer.

    Attributes:
        status: HTTP status code.
        content_type: with charset where it applies.
        body: the bytes; sent as they are.
        headers: further headers.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Pages(Protocol):
    """Answers plain HTTP. Called in the worker's loop, so it must not wait."""

    def respond(self, request: PageRequest) -> PageResponse | None:
        """The answer, or None when there is no such page."""
