"""What is left of a request once websockets has read it."""

from __future__ import annotations

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from workers.request import RequestHeader, http_request


def headers_of(*fields: tuple[str, str]) -> dict[str, str]:
    return dict(http_request(Request("/", Headers(list(fields)))).headers)


def test_names_are_in_lower_case() -> None:
    assert headers_of(("Host", "Relay.test")) == {"host": "Relay.test"}


def test_repeated_fields_are_one() -> None:
    found = headers_of(("If-None-Match", '"a"'), ("if-none-match", '"b"'))
    assert found == {"if-none-match": '"a", "b"'}


@pytest.mark.parametrize("name", ["Authorization", "Host", "Origin"])
def test_who_says_twice_who_it_is_says_nothing(name: str) -> None:
    fields = [("Authorization", "Bearer a"), ("Host", "h"), ("Origin", "http://h"), (name, "b")]
    assert headers_of(*fields, ("Cookie", "c")) == {"cookie": "c", "origin": "null"}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ([], False),
        ([("Connection", "close")], False),
        ([("Connection", "keep-alive, Upgrade")], True),
        ([("Connection", "keep-alive"), ("Connection", "upgrade")], True),
    ],
)
def test_upgrades(fields: list[tuple[str, str]], wanted: bool) -> None:
    assert http_request(Request("/", Headers(fields))).wants_upgrade is wanted


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 40])
def test_the_end_of_a_header_is_found_in_any_pieces(pieces: int) -> None:
    whole = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    stream = whole + b"what follows\r\n\r\n"
    header = RequestHeader()
    for index in range(pieces):
        header.take(stream[index * len(stream) // pieces : (index + 1) * len(stream) // pieces])
        if header.size >= len(whole):
            break
    assert header.size == len(whole)
