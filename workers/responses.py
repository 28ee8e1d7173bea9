"""HTTP responses, in websockets' own class. One request, one connection."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response

__all__ = ["page_response", "text_response"]


def page_response(
    status: int,
    content_type: str,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    head: bool = False,
) -> Response:
    """An HTTP response with ``body``, or with its length alone when the request was HEAD."""
    about = {"Content-Type": content_type, "Content-Length": str(len(body))}
    if status == HTTPStatus.NOT_MODIFIED:
        # It would be the length of what the peer has already.
        about = {}
    fields = Headers({**about, "Connection": "close", **(headers or {})})
    return Response(status, HTTPStatus(status).phrase, fields, b"" if head else body)


def text_response(status: int, line: str) -> Response:
    """An HTTP response of one line of text."""
    return page_response(status, "text/plain; charset=utf-8", f"{line}\n".encode())
