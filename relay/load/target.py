"""The address of the stream that is tested, and of its relay's API. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlsplit

from bus.errors import InvalidName
from bus.names import check_stream

__all__ = ["Target", "parse_target"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where viewers go.

    Attributes:
        host, port: of the relay.
        secure: whether it speaks TLS.
        path: what a viewer asks for, without a token.
        prefix: path under which the relay's pages are.
        token: from the URL's query; empty: none.
    """

    host: str
    port: int
    secure: bool
    path: str
    prefix: str
    token: str = field(repr=False)

    @property
    def _authority(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{name}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL without any secret."""
        return f"{'wss' if self.secure else 'ws'}://{self._authority}{self.path}"

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return self.path.rpartition("/")[2]

    def view_path(self, stream: str) -> str:
        """What a viewer of another stream asks for."""
        return f"{self.prefix}/view/{stream}"

    def publish_url(self, stream: str) -> str:
        """Where a stream is published."""
        scheme = "wss" if self.secure else "ws"
        return f"{scheme}://{self._authority}{self.prefix}/publish/{stream}"

    def api_url(self, name: str) -> str:
        """Where the relay tells of its ``workers`` or ``streams``."""
        return f"{self._pages}/api/{name}"

    def watch_url(self, stream: str, token: str) -> str:
        """The page with a stream's player."""
        return f"{self._pages}/watch/{stream}" + (f"?token={quote(token)}" if token else "")

    @property
    def _pages(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self._authority}{self.prefix}"


def parse_target(url: str) -> Target:
    """Read ``ws://host:port/view/stream`` or its ``wss`` form.

    Raises:
        ValueError: when it is no such URL.
    """
    wanted = "write it as ws://host:port/view/stream"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"the URL is not valid ({exc}); {wanted}") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or port == 0:
        raise ValueError(f"the URL is not one of a WebSocket; {wanted}")
    prefix, found, stream = parts.path.rpartition("/view/")
    if not found:
        raise ValueError(f"the URL names no stream; {wanted}")
    if parts.username is not None or parts.fragment:
        raise ValueError(f"the URL holds a user or a fragment; {wanted}")
    try:
        check_stream(stream)
    except InvalidName as exc:
        raise ValueError(str(exc)) from None
    secure = parts.scheme == "wss"
    token = parse_qs(parts.query).get("token", [""])[0]
    return Target(
        parts.hostname, port or (443 if secure else 80), secure, parts.path, prefix, token
    )
