"""The address of a remote relay's publishing endpoint. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

__all__ = ["is_loopback", "public_url", "publish_url"]


def publish_url(to: str, stream: str, *, takeover: bool = False) -> str:
    """The WebSocket URL for publishing ``stream``.

    Args:
        to: ``ws://host[:port]`` or ``wss://…``, with a path when the relay stands behind a
            prefix; a full ``…/publish/<stream>`` is accepted too.
        stream: a valid stream name.
        takeover: ask for the stream even while another publisher has it.

    Raises:
        ValueError: when ``to`` is no such URL.
    """
    wanted = "write it as ws://host:port or wss://host:port"
    try:
        parts = urlsplit(to)
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"--to {to!r} is not a valid URL ({exc}); {wanted}") from None
    if parts.scheme in ("http", "https"):
        other = "wss" if parts.scheme == "https" else "ws"
        raise ValueError(f"--to {to!r} is not a WebSocket URL; write {other}://{parts.netloc}")
    if parts.scheme not in ("ws", "wss") or not parts.hostname or port == 0:
        raise ValueError(f"--to {to!r} is not a WebSocket URL; {wanted}")
    if parts.username is not None or parts.fragment or any(char.isspace() for char in to):
        raise ValueError(f"--to holds a user, a fragment or blanks; {wanted}, and use --token-file")
    ending = f"/publish/{stream}"
    path = parts.path.rstrip("/")
    if not path.endswith(ending):
        path += ending
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "takeover"]
    if takeover:
        query.append(("takeover", "1"))
    return urlunsplit((parts.scheme, parts.netloc, path, urlencode(query), ""))


def public_url(url: str) -> str:
    """The URL without its query, fit for being shown."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this host."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
