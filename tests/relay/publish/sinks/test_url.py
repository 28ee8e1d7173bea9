"""Addresses of relays."""

from __future__ import annotations

import pytest

from relay.publish.sinks.url import is_loopback, public_url, publish_url


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("ws://host:8765", "ws://host:8765/publish/cam"),
        ("ws://host:8765/", "ws://host:8765/publish/cam"),
        ("wss://relay.example.net", "wss://relay.example.net/publish/cam"),
        ("wss://h/video/", "wss://h/video/publish/cam"),
        ("ws://h/publish/cam", "ws://h/publish/cam"),
        ("ws://[::1]:80", "ws://[::1]:80/publish/cam"),
        ("ws://h?token=abc", "ws://h/publish/cam?token=abc"),
    ],
)
def test_endpoint(to: str, expected: str) -> None:
    assert publish_url(to, "cam") == expected


def test_takeover_is_a_parameter() -> None:
    assert publish_url("ws://h?a=b", "cam", takeover=True) == "ws://h/publish/cam?a=b&takeover=1"


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("http://h:1", "write ws://h:1"),
        ("https://h", "write wss://h"),
        ("host:8765", "write it as ws://host:port"),
        ("ws://", "write it as"),
        ("ws://h:99999", "not a valid URL"),
        ("ws://h:port", "not a valid URL"),
        ("ws://h:0", "write it as"),
        ("ws://[::1", "not a valid URL"),
        ("ws://me:pw@h", "--token-file"),
        ("ws://h/#x", "fragment"),
        ("ws://a b", "blanks"),
        ("", "write it as"),
    ],
)
def test_wrong(to: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        publish_url(to, "cam")
    assert "pw" not in str(caught.value)


def test_queries_are_not_shown() -> None:
    assert public_url("ws://h/publish/a?token=abc") == "ws://h/publish/a"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://127.0.0.1:1/", True),
        ("ws://localhost/", True),
        ("ws://[::1]/", True),
        ("ws://192.168.1.1/", False),
        ("ws://localhost.example.net/", False),
    ],
)
def test_loopback(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected
