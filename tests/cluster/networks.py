"""Hosts as network namespaces, joined by veth pairs that can be counted, cut and slowed down.

Every host has one link to a hub, where NATS runs, and one to this process, so what its
viewers get is not on the link that is looked at::

    test ── access ── host a ── link ── hub (NATS) ── link ── host b ── access ── test
"""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.nats_server import program

__all__ = ["Host", "Network", "network"]


def _ip(*arguments: str) -> str:
    return subprocess.run(
        [program("ip"), *arguments], check=True, capture_output=True, text=True
    ).stdout


@dataclass(frozen=True)
class Host:
    """One host.

    Attributes:
        namespace: its network namespace.
        access: its address for viewers.
        address: its address for other hosts.
        hub: the hub's namespace.
    """

    namespace: str
    access: str
    address: str
    hub: str

    @property
    def prefix(self) -> list[str]:
        """Runs a command on this host."""
        return [program("ip"), "netns", "exec", self.namespace]

    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent over its link to the hub."""
        (link,) = json.loads(_ip("-n", self.namespace, "-s", "-j", "link", "show", "cluster0"))
        stats = link["stats64"]
        return stats["rx"]["bytes"], stats["tx"]["bytes"]

    def cut(self) -> None:
        """Let nothing pass on its link to the hub."""
        _ip("-n", self.hub, "link", "set", f"to-{self.namespace[-3:]}", "down")

    def restore(self) -> None:
        """Undo `cut`."""
        _ip("-n", self.hub, "link", "set", f"to-{self.namespace[-3:]}", "up")

    def slow_down(self, rate: str, *, receiving: bool) -> None:
        """Limit its link to the hub in one direction, for example to ``1mbit``."""
        where = self.hub if receiving else self.namespace
        device = f"to-{self.namespace[-3:]}" if receiving else "cluster0"
        limit = ["tbf", "rate", rate, "burst", "32kbit", "latency", "200ms"]
        command = [program("ip"), "netns", "exec", where, program("tc"), "qdisc", "replace"]
        subprocess.run([*command, "dev", device, "root", *limit], check=True)


class Network:
    """A hub and its hosts.

    Attributes:
        hub: the hub's namespace.
        hub_address: where NATS listens.
    """

    def __init__(self) -> None:
        self._tag = f"rl{secrets.token_hex(3)}"
        self._number = secrets.randbelow(200)
        self.hub = f"{self._tag}hub"
        self.hub_address = "10.77.0.1"
        self._namespaces: list[str] = []
        self._outside: list[str] = []
        self._add(self.hub)
        _ip("-n", self.hub, "link", "add", "br0", "type", "bridge")
        _ip("-n", self.hub, "addr", "add", f"{self.hub_address}/24", "dev", "br0")
        _ip("-n", self.hub, "link", "set", "br0", "up")

    @property
    def prefix(self) -> list[str]:
        """Runs a command on the hub."""
        return [program("ip"), "netns", "exec", self.hub]

    def _add(self, namespace: str) -> None:
        _ip("netns", "add", namespace)
        self._namespaces.append(namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")

    def host(self) -> Host:
        """Another host."""
        number = len(self._namespaces)
        namespace = f"{self._tag}n{number:02}"
        self._add(namespace)
        port = f"to-{namespace[-3:]}"
        peer = ["peer", "name", "cluster0", "netns", namespace]
        _ip("-n", self.hub, "link", "add", port, "type", "veth", *peer)
        _ip("-n", self.hub, "link", "set", port, "master", "br0", "up")
        address = f"10.77.0.{number + 1}"
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "cluster0")
        _ip("-n", namespace, "link", "set", "cluster0", "up")
        outside = f"{self._tag}x{number}"
        _ip("link", "add", outside, "type", "veth", "peer", "name", "access0", "netns", namespace)
        self._outside.append(outside)
        network = f"10.{78 + number}.{self._number}"
        _ip("addr", "add", f"{network}.1/24", "dev", outside)
        _ip("link", "set", outside, "up")
        _ip("-n", namespace, "addr", "add", f"{network}.2/24", "dev", "access0")
        _ip("-n", namespace, "link", "set", "access0", "up")
        return Host(namespace, f"{network}.2", address, self.hub)

    def close(self) -> None:
        """Remove all of it."""
        for device in self._outside:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("link", "del", device)
        for namespace in reversed(self._namespaces):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", namespace)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A hub without hosts; skipped where namespaces may not be made."""
    try:
        made = Network()
    except subprocess.CalledProcessError as exc:
        pytest.skip(f"optional: network namespaces cannot be made: {exc.stderr.strip()}")
    yield made
    made.close()
