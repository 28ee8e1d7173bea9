"""The one HTTP request of a connection, read by websockets' Sans-I/O `ServerProtocol`.

Plain handshakes do not come here, see `workers.handshake`; pages do, and whatever is odd.
"""

from __future__ import annotations

import logging
from typing import Final

from websockets.http11 import Request, Response
from websockets.protocol import SEND_EOF
from websockets.server import ServerProtocol

from workers.request import RequestHeader
from workers.responses import text_response

__all__ = ["RequestReader"]

# One line per connection from the library would drown the worker's own.
_quiet = logging.getLogger("workers.http")
_quiet.setLevel(logging.CRITICAL)

_HEADER_LIMIT: Final = 16_384
"""Bytes of a request's header; as generous as nginx's and Apache's defaults together."""


class RequestReader:
    """See the module."""

    __slots__ = ("_header", "_protocol")

    def __init__(self) -> None:
        self._header = RequestHeader()
        self._protocol = ServerProtocol(logger=_quiet)

    def take(self, data: bytes) -> tuple[Request | bytes | None, bytes]:
        """Take the next piece of the request.

        What follows the header has to wait until the request is answered: the parser would
        answer frames that a peer sends too early ahead of the handshake, and take a second
        request for a broken frame.

        Returns:
            The request when it is complete; the response that refuses it when it is none; and
            what follows it.
        """
        length = self._header.take(data)
        if self._header.size > _HEADER_LIMIT:
            return text_response(431, "the request's header is too large").serialize(), b""
        protocol, rest = self._protocol, data[length:]
        protocol.receive_data(data[:length])
        for event in protocol.events_received():
            if isinstance(event, Request):
                return event, rest
        if protocol.handshake_exc is None:
            return None, rest
        refusal = b"".join(piece for piece in protocol.data_to_send() if piece != SEND_EOF)
        if not refusal:
            # websockets just hangs up on what is no HTTP request; a person may want to know.
            refusal = text_response(400, "this is not a valid HTTP GET request").serialize()
        return refusal, b""

    def accept(self, request: Request) -> Response:
        """What answers a handshake: 101 when it is a valid one, else an error."""
        return self._protocol.accept(request)

    def close(self) -> None:
        """Let go of it; it reads no more."""
        # The protocol and its parser refer to each other: without this they are garbage to find.
        self._protocol.parser.close()
