"""From a request to what answers it: a page, a viewer, a publisher, or a refusal.

A WebSocket request for a stream is always upgraded, also when it is refused then: a browser
shows its page the close code and reason, but never an HTTP status.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote

from websockets.frames import CloseCode
from websockets.http11 import Response

from bus.errors import InvalidName
from bus.names import check_stream
from workers.connection import Connection
from workers.engines.interface import Channel
from workers.errors import PeerError
from workers.ingest import IngestSession
from workers.ports import ADMIN_PREFIX, Action, Authorizer, PageRequest, Pages, Peer
from workers.request import HttpRequest
from workers.responses import page_response, text_response
from workers.services import StreamServices
from workers.session import Session
from workers.table import Column
from workers.viewer_session import ViewerSession

__all__ = ["StreamRouter"]

_VIEW: Final = "/view/"
_PUBLISH: Final = "/publish/"
_SURPLUS: Final = "too many connections from your address"
_PROXY_HEADERS: Final = frozenset({"forwarded", "x-forwarded-for", "x-real-ip", "via"})
_ROLES: Final = ((_VIEW, Action.VIEW), (_PUBLISH, Action.PUBLISH))


class RefusedSession:
    """A WebSocket connection that is closed as soon as it is open."""

    __slots__ = ("_connection", "_error")

    def __init__(self, connection: Connection, error: PeerError) -> None:
        self._connection = connection
        self._error = error

    def opened(self, channel: Channel, head: bytes) -> None:
        """Say why, and close."""
        channel.control(head)
        self._connection.refuse(self._error)

    def message(self, data: bytes) -> None:
        """Whatever it says, it is refused already."""

    def channel_idle(self) -> None:
        """Nothing is sent."""

    def channel_behind(self) -> None:
        """It is sent no frames."""

    def closed(self) -> None:
        """Nothing is held."""


class StreamRouter:
    """Routes by path; asks the authorizer; counts refusals."""

    def __init__(self, streams: StreamServices, authorizer: Authorizer, pages: Pages) -> None:
        self._streams = streams
        self._authorizer = authorizer
        self._pages = pages
        self._ids = itertools.count(1)

    def route(self, connection: Connection, request: HttpRequest) -> Response | Session:
        """What a request gets. See `workers.connection`."""
        path, _, raw_query = request.target.partition("?")
        query = _query(raw_query) if raw_query else {}
        peer = _peer(connection.address, request.headers, query)
        path = unquote(path, errors="replace")
        upgrade = request.wants_upgrade
        if connection.surplus and not upgrade:
            self._streams.row.add(Column.REFUSED_LIMIT)
            return _come_back_later()
        for prefix, action in _ROLES:
            if path.startswith(prefix):
                if not upgrade:
                    self._streams.row.add(Column.REFUSED_REQUEST)
                    return _upgrade_required()
                return self._stream(connection, action, path.removeprefix(prefix), query, peer)
        return self._page(request, path, query, peer)

    def _stream(
        self,
        connection: Connection,
        action: Action,
        name: str,
        query: dict[str, str],
        peer: Peer,
    ) -> Session:
        try:
            if connection.surplus:
                raise PeerError(CloseCode.TRY_AGAIN_LATER, _SURPLUS, Column.REFUSED_LIMIT)
            stream = self._admit(action, name, peer)
        except PeerError as error:
            return RefusedSession(connection, error)
        who = "viewer" if action is Action.VIEW else "publisher"
        number = next(self._ids)
        connection.role = (stream, who, number)
        if action is Action.VIEW:
            raw = query.get("format") == "raw"
            return ViewerSession(self._streams, connection, stream, raw=raw, number=number)
        takeover = query.get("takeover", "0") not in ("", "0", "false")
        return IngestSession(self._streams, connection, stream, takeover=takeover)

    def _admit(self, action: Action, name: str, peer: Peer) -> str:
        try:
            stream = check_stream(name)
        except InvalidName as exc:
            raise PeerError(CloseCode.POLICY_VIOLATION, str(exc), Column.REFUSED_NAME) from None
        reason = self._authorizer.refusal(action, stream, peer)
        if reason is not None:
            raise PeerError(CloseCode.POLICY_VIOLATION, reason, Column.REFUSED_AUTH)
        self._streams.check_room(action)
        return stream

    def _page(self, request: HttpRequest, path: str, query: dict[str, str], peer: Peer) -> Response:
        acts = request.method == "POST" and path.startswith(ADMIN_PREFIX)
        if request.method not in ("GET", "HEAD") and not acts:
            self._streams.row.add(Column.REFUSED_REQUEST)
            response = text_response(405, f"{request.method} is not served here; use GET")
            response.headers["Allow"] = "GET, HEAD"
            return response
        page = self._pages.respond(PageRequest(path, query, request.headers, peer, request.method))
        if page is None:
            self._streams.row.add(Column.REFUSED_REQUEST)
            return text_response(404, "there is no such page; the streams are listed at /")
        return page_response(
            page.status,
            page.content_type,
            page.body,
            page.headers,
            head=request.method == "HEAD",
        )


def _query(raw: str) -> dict[str, str]:
    """The first value of each parameter."""
    return {name: values[0] for name, values in parse_qs(raw).items()}


def _upgrade_required() -> Response:
    response = text_response(426, "this is a WebSocket address; a page for people is at /")
    response.headers["Upgrade"] = "websocket"
    return response


def _come_back_later() -> Response:
    response = text_response(503, _SURPLUS)
    response.headers["Retry-After"] = "5"
    return response


def _peer(address: str, headers: Mapping[str, str], query: Mapping[str, str]) -> Peer:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    token = credentials.strip() if scheme.lower() == "bearer" else query.get("token")
    forwarded = not _PROXY_HEADERS.isdisjoint(headers)
    return Peer(address, token or None, headers.get("origin"), headers.get("host"), forwarded)
