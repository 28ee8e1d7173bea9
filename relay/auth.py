"""Who may view and publish: tokens for patterns of streams.

The rule: an action on a stream that any token covers needs such a token. Otherwise viewing
is open, and publishing is open to this host alone: to loopback addresses, and for a browser
only from a page of the relay itself, since any web page can make a browser connect to
loopback. A proxy on this host speaks for others, so what comes through one is not local.

Secrets appear in no message, no repr and no log.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from relay.errors import AuthError
from workers.ports import Action, Peer
from workers.settings import option

__all__ = [
    "NO_ADMIN",
    "AdminAuthorizer",
    "AuthSettings",
    "Grant",
    "TokenAuthorizer",
    "TokenRule",
    "build_admin_authorizer",
    "build_authorizer",
]

_EVERYTHING = ("*",)


@dataclass(frozen=True, slots=True)
class TokenRule:
    """One token of the configuration file.

    Attributes:
        token: the secret; empty when ``token_file`` names the file that holds it.
        token_file: file with one token in each line.
        streams: patterns of stream names, as in a shell.
        allow: what its bearer may do.
    """

    token: str = field(default="", repr=False)
    token_file: str = ""
    streams: tuple[str, ...] = _EVERYTHING
    allow: frozenset[Action] = frozenset(Action)


def parse_rules(value: object) -> tuple[TokenRule, ...]:
    """Rules from the ``[[auth.tokens]]`` tables of the file.

    Raises:
        ValueError: in words that follow the name of the table.
    """
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("must be tables: [[auth.tokens]]")
    return tuple(_parse_rule(table, number) for number, table in enumerate(value, 1))


def _parse_rule(table: Mapping[str, Any], number: int) -> TokenRule:
    where = f"number {number}"
    known = ("token", "token_file", "streams", "allow")
    for key in table:
        if key not in known:
            raise ValueError(f"{where} has an unknown key {key!r}; known are {', '.join(known)}")
    for key in ("token", "token_file"):
        if not isinstance(table.get(key, ""), str):
            raise ValueError(f"{where}: {key} must be text")
    if bool(table.get("token")) == bool(table.get("token_file")):
        raise ValueError(f"{where} needs either token or token_file")
    lists: dict[str, tuple[str, ...]] = {}
    for key in ("streams", "allow"):
        items = table.get(key, list(_EVERYTHING) if key == "streams" else ["view", "publish"])
        if not isinstance(items, list) or not items or not all(isinstance(i, str) for i in items):
            raise ValueError(f"{where}: {key} must be a list of texts")
        lists[key] = tuple(items)
    try:
        allow = frozenset(Action(word) for word in lists["allow"])
    except ValueError:
        raise ValueError(f'{where}: allow takes "view" and "publish"') from None
    return TokenRule(table.get("token", ""), table.get("token_file", ""), lists["streams"], allow)


@dataclass(frozen=True, slots=True, repr=False)
class AuthSettings:
    """Tokens as configured, files not read yet."""

    publish_token: str = option("", "token that may publish every stream", secret=True)
    view_token: str = option("", "token that may view every stream", secret=True)
    publish_token_file: str = option("", "file of tokens that may publish every stream")
    view_token_file: str = option("", "file of tokens that may view every stream")
    admin_token: str = option("", "token of the admin API", secret=True)
    admin_token_file: str = option("", "file of tokens of the admin API")
    tokens: tuple[TokenRule, ...] = field(default=(), metadata={"parse": parse_rules})

    def rules(self) -> list[TokenRule]:
        """All of it as rules."""
        found = list(self.tokens)
        for action, token, file in (
            (Action.PUBLISH, self.publish_token, self.publish_token_file),
            (Action.VIEW, self.view_token, self.view_token_file),
        ):
            if token:
                found.append(TokenRule(token=token, allow=frozenset({action})))
            if file:
                found.append(TokenRule(token_file=file, allow=frozenset({action})))
        return found


@dataclass(frozen=True, slots=True)
class Grant:
    """What one secret allows."""

    secret: bytes = field(repr=False)
    streams: tuple[str, ...]
    allow: frozenset[Action]

    def covers(self, action: Action, stream: str) -> bool:
        """Whether it is about this action on this stream."""
        return action in self.allow and any(fnmatchcase(stream, each) for each in self.streams)


class TokenAuthorizer:
    """Decides by token. Holds no file and no socket, so it can be sent to a new process."""

    def __init__(self, grants: Sequence[Grant]) -> None:
        self._grants = tuple(grants)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenAuthorizer) and self._grants == other._grants

    def __hash__(self) -> int:
        return hash(self._grants)

    def refusal(self, action: Action, stream: str, peer: Peer) -> str | None:
        """None when allowed, else the reason in words for the peer."""
        grants = [grant for grant in self._grants if grant.covers(action, stream)]
        if not grants:
            return None if action is Action.VIEW else _refusal_without_tokens(peer)
        if peer.token is None:
            return f"a token is needed to {action.value} this stream"
        given = peer.token.encode("utf-8", "surrogateescape")
        # Every comparison is made, so that time tells nothing about which one fits.
        fitting = [hmac.compare_digest(given, grant.secret) for grant in grants]
        return None if any(fitting) else f"this token may not {action.value} this stream"


@dataclass(frozen=True, slots=True)
class AdminAuthorizer:
    """Decides who may use the admin API."""

    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    def refusal(self, authorization: str) -> tuple[int, str] | None:
        """None when allowed, else HTTP status and the reason in words for the peer.

        Args:
            authorization: the request's header, empty when there was none.
        """
        if not self.secrets:
            return 403, "there is no admin token; start the relay with --admin-token-file"
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return 401, "the admin token is needed: Authorization: Bearer ..."
        token = given.strip().encode("utf-8", "surrogateescape")
        fitting = [hmac.compare_digest(token, secret) for secret in self.secrets]
        return None if any(fitting) else (401, "this is not the admin token")


NO_ADMIN: Final = AdminAuthorizer()
"""Nobody may."""


def _refusal_without_tokens(peer: Peer) -> str | None:
    if peer.forwarded:
        return "publishing through a proxy needs a token, and none is configured here"
    if not _is_loopback(peer.address):
        return "publishing from another host needs a token, and none is configured here"
    if peer.origin is not None and not _is_own_page(peer.origin, peer.host):
        return "a page of another site may not publish without a token"
    return None


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def _is_own_page(origin: str, host: str | None) -> bool:
    """Whether the page comes from the address that its browser now connects to.

    A name other than localhost can be rebound by its owner to a loopback address, and then
    both headers agree; an address cannot.
    """
    try:
        page = urlsplit(origin)
        asked = urlsplit(f"//{host or ''}")
        if page.netloc.lower() != asked.netloc.lower() or asked.hostname is None:
            return False
    except ValueError:
        return False
    return asked.hostname == "localhost" or _is_loopback(asked.hostname)


def build_authorizer(
    settings: AuthSettings, read: Callable[[str], str] | None = None
) -> TokenAuthorizer:
    """Read the token files and make the authorizer.

    Args:
        settings: tokens as configured.
        read: gives a file's text; the file system's by default.

    Raises:
        AuthError: a file that cannot be read, holds no token, or a token that cannot be sent
            in a header.
    """
    return TokenAuthorizer(
        [
            Grant(secret, rule.streams, rule.allow)
            for rule in settings.rules()
            for secret in _secrets(rule.token, rule.token_file, read or _read)
        ]
    )


def build_admin_authorizer(
    settings: AuthSettings, read: Callable[[str], str] | None = None
) -> AdminAuthorizer:
    """The same for the admin API. Raises the same."""
    return AdminAuthorizer(
        tuple(_secrets(settings.admin_token, settings.admin_token_file, read or _read))
    )


def _secrets(token: str, file: str, read: Callable[[str], str]) -> list[bytes]:
    """A token, and those of a file; either may be empty."""
    found = [token] if token else []
    if file:
        found += _file_tokens(file, read)
    if not all("!" <= character <= "~" for secret in found for character in secret):
        where = f"file {file!r}" if file else "the configuration"
        raise AuthError(f"a token in {where} has characters other than visible ASCII")
    return [secret.encode("ascii") for secret in found]


def _read(name: str) -> str:
    return Path(name).expanduser().read_text(encoding="utf-8")


def _file_tokens(name: str, read: Callable[[str], str]) -> list[str]:
    try:
        lines = [line.strip() for line in read(name).splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise AuthError(f"token file {name!r} cannot be read: {reason}") from None
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens:
        raise AuthError(f"token file {name!r} holds no token; put one in each line")
    return tokens
