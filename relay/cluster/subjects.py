"""NATS subjects of one cluster; see `relay.cluster` for the scheme.

Pure. No other file puts a subject together or takes one apart. Whoever may publish on a
subject chose the names in it, so they are checked here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bus.names import check_stream

__all__ = ["Subject", "Subjects", "parse_subject"]

PREFIX: Final = "relay.v1"
_DEPTH: Final = 3
"""Tokens before the kind: relay, v1 and the cluster."""


def _token(name: str) -> str:
    return name.replace(".", "=")


def _name(token: str) -> str:
    return check_stream(token.replace("=", "."))


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject taken apart.

    Attributes:
        kind: ``node``, ``stream``, ``want``, ``frames`` or ``replay``.
        sender: the node that published the message.
        stream: stream name; empty for kind ``node``.
    """

    kind: str
    sender: str
    stream: str


def parse_subject(subject: str) -> Subject:
    """Take apart a subject that one of the patterns of `Subjects` matched.

    Raises:
        InvalidName: no node or stream can have such a name.
    """
    kind, sender, *rest = subject.split(".")[_DEPTH:]
    return Subject(kind, _name(sender), _name(rest[-1]) if rest else "")


class Subjects:
    """Subjects as one node sees them.

    Attributes:
        nodes, streams: patterns of what all nodes announce.
        wants: pattern of what other nodes ask of this one.
        node: this node's heartbeat.
    """

    def __init__(self, cluster: str, node: str) -> None:
        self._base = f"{PREFIX}.{_token(cluster)}"
        self._node = _token(node)
        self.nodes = f"{self._base}.node.*"
        self.streams = f"{self._base}.stream.*.*"
        self.wants = f"{self._base}.want.*.{self._node}.*"
        self.node = f"{self._base}.node.{self._node}"

    def stream(self, stream: str) -> str:
        """Where this node announces a stream."""
        return f"{self._base}.stream.{self._node}.{_token(stream)}"

    def frames(self, stream: str, owner: str | None = None) -> str:
        """Where a stream's owner, by default this node, sends its frames."""
        return f"{self._base}.frames.{self._sender(owner)}.{_token(stream)}"

    def want(self, owner: str, stream: str) -> str:
        """Where this node tells an owner what it wants."""
        return f"{self._base}.want.{self._node}.{_token(owner)}.{_token(stream)}"

    def replay(self, stream: str, *, to: str | None = None, owner: str | None = None) -> str:
        """Where a stream's owner sends a joining node what it missed; either is this node."""
        receiver = self._node if to is None else _token(to)
        return f"{self._base}.replay.{self._sender(owner)}.{receiver}.{_token(stream)}"

    def _sender(self, owner: str | None) -> str:
        return self._node if owner is None else _token(owner)
