"""The plain handshake is what websockets makes of the same bytes, or it is not taken."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from tests.workers.client import upgrade_request
from workers.handshake import plain_handshake
from workers.request import HttpRequest, http_request

CHROME = (
    b"GET /view/demo?token=a%20b HTTP/1.1\r\nHost: relay.test:8765\r\nConnection: Upgrade\r\n"
    b"Pragma: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nUpgrade: websocket\r\n"
    b"Origin: http://relay.test:8765\r\nSec-WebSocket-Version: 13\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
FIREFOX = CHROME.replace(b": Upgrade", b": keep-alive, Upgrade")
PROXY = CHROME.replace(b": Upgrade", b": upgrade").replace(b"Host", b"X-Forwarded-For: ::1\r\nHost")


def by_the_library(data: bytes) -> tuple[HttpRequest, list[bytes]] | None:
    """The request, and the response's lines but for the date; None unless it is a 101."""
    protocol = ServerProtocol(logger=logging.getLogger("workers.websocket"))
    protocol.receive_data(data)
    events = protocol.events_received()
    if len(events) != 1 or protocol.data_to_send():
        return None
    (request,) = events
    assert isinstance(request, Request)
    response: Response = protocol.accept(request)
    if response.status_code != 101:
        return None
    del response.headers["Date"]
    return http_request(request), response.serialize().split(b"\r\n")


def check(data: bytes) -> bool:
    """Whether the handshake is taken, which it may only be with the library's result."""
    taken = plain_handshake(data)
    if taken is None:
        return False
    request, response = taken
    assert (request, response.split(b"\r\n")) == by_the_library(data)
    return True


@pytest.mark.parametrize("data", [CHROME, FIREFOX, PROXY, upgrade_request("/view/a")])
def test_takes_what_browsers_and_programs_send(data: bytes) -> None:
    assert check(data)


NOT_PLAIN = {
    "nothing": b"",
    "all but a byte": CHROME[:-1],
    "first byte missing": CHROME[1:],
    "a byte more": CHROME + b"\x82",
    "two requests": CHROME * 2,
    "POST": CHROME.replace(b"GET", b"POST"),
    "HTTP/1.0": CHROME.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "absolute target": CHROME.replace(b"/view", b"http://relay.test/view"),
    "target not ASCII": CHROME.replace(b"demo", b"dem\xf6"),
    "header not ASCII": CHROME.replace(b"gzip", b"gz\xefp"),
    "bare newline": CHROME.replace(b"\r\nHost", b"\nHost"),
    "bare return": CHROME.replace(b"gzip", b"gz\rip"),
    "folded line": CHROME.replace(b"\r\nHost", b"\r\n Host"),
    "space before the colon": CHROME.replace(b"Host:", b"Host :"),
    "no colon": CHROME.replace(b"Host:", b"Host"),
    "null": CHROME.replace(b"gzip", b"gz\0ip"),
    "repeated header": CHROME.replace(b"\r\nHost", b"\r\nhost: other\r\nHost"),
    "body": CHROME.replace(b"Host", b"Content-Length: 3\r\nHost"),
    "chunked": CHROME.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost"),
    "subprotocol": CHROME.replace(b"Host", b"Sec-WebSocket-Protocol: chat\r\nHost"),
    "no key": CHROME.replace(b"-Key", b"-Cue"),
    "short key": CHROME.replace(b"dGhl", b""),
    "key of other characters": CHROME.replace(b"dGhl", b"dG_l"),
    "old version": CHROME.replace(b": 13", b": 8"),
    "no upgrade": CHROME.replace(b"Upgrade: websocket\r\n", b""),
    "another protocol": CHROME.replace(b": websocket", b": h2c"),
    "connection closes": CHROME.replace(b": Upgrade", b": close"),
    "long header": CHROME.replace(b"gzip", b"g" * 9000),
    "many headers": CHROME.replace(b"Host", b"".join(b"A%d: b\r\n" % n for n in range(130)) + b"H"),
}


@pytest.mark.parametrize("data", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_leaves_the_rest_to_the_library(data: bytes) -> None:
    assert plain_handshake(data) is None


_PIECES = [
    *(line + b"\r\n" for line in CHROME.split(b"\r\n") if line),
    b"Connection: keep-alive, Upgrade\r\n",
    b"connection:\tUPGRADE \r\n",
    b"upgrade: WebSocket\r\n",
    b"X: \r\n",
    b"X:y\r\n",
    b"Y: a: b \t c\r\n",
]
_FIELDS = st.lists(st.sampled_from(_PIECES[1:]), unique=True, max_size=20)


@given(_FIELDS)
def test_any_fields_in_any_order(fields: list[bytes]) -> None:
    check(_PIECES[0] + b"".join(fields) + b"\r\n")


@given(st.sampled_from([CHROME, FIREFOX, PROXY]), st.data())
def test_any_change(request: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(request)))
    stop = data.draw(st.integers(start, min(len(request), start + 4)))
    odd = st.sampled_from([b"\r", b"\n", b" ", b"\t", b":", b",", b"=", b"\0", b"\x7f", b"\xff"])
    change = data.draw(odd | st.binary(max_size=4))
    check(request[:start] + change + request[stop:])


@given(st.from_regex(r"[0-9A-Za-z+/=]{20,26}", fullmatch=True))
def test_any_key(key: str) -> None:
    taken = check(upgrade_request("/view/a", Sec_WebSocket_Key=key))
    assert taken == (by_the_library(upgrade_request("/view/a", Sec_WebSocket_Key=key)) is not None)
