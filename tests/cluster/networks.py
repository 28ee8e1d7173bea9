"""Hosts as network namespaces, joined by cables that can be counted, cut and slowed down.

Every host has one link to a hub, where NATS runs, and one to this process, so what its
viewers get is not on the link that is looked at::

    test ── access ── host a ── link ── hub (NATS) ── link ── host b ── access ── test
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.namespaces import Namespace

__all__ = ["Host", "Network", "network"]

_LINK = "cluster0"


class Host(Namespace):
    """One host.

    Attributes:
        access: its address for viewers.
        address: its address for other hosts.
    """

    def __init__(self, hub: Namespace, number: int) -> None:
        super().__init__()
        self._hub = hub
        self._port = f"host{number}"
        hub.join(self._port, self, _LINK)
        hub.run("ip", "link", "set", self._port, "master", "br0")
        self.address = f"10.77.0.{number + 2}"
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", _LINK)
        self.access = self.cable("access0").far

    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent over its link to the hub."""
        (link,) = json.loads(self.run("ip", "-s", "-j", "link", "show", _LINK))
        stats = link["stats64"]
        return stats["rx"]["bytes"], stats["tx"]["bytes"]

    def cut(self) -> None:
        """Let nothing pass on its link to the hub."""
        self._hub.run("ip", "link", "set", self._port, "down")

    def restore(self) -> None:
        """Undo `cut`."""
        self._hub.run("ip", "link", "set", self._port, "up")

    @contextlib.contextmanager
    def slowed(self, rate: str, *, receiving: bool, holds: str = "50ms") -> Iterator[None]:
        """Limit its link to the hub in one direction.

        Args:
            rate: for example ``1mbit``.
            receiving: which direction.
            holds: how long what waits in the link itself may wait; it delays whatever passes.
        """
        where, device = (self._hub, self._port) if receiving else (self, _LINK)
        limit = ("tbf", "rate", rate, "burst", "32kbit", "latency", holds)
        where.run("tc", "qdisc", "replace", "dev", device, "root", *limit)
        try:
            yield
        finally:
            where.run("tc", "qdisc", "delete", "dev", device, "root")


class Network(Namespace):
    """The hub, and the hosts that were joined to it.

    Attributes:
        address: where NATS listens.
    """

    def __init__(self) -> None:
        super().__init__()
        self.address = "10.77.0.1"
        self._hosts: list[Host] = []
        self.run("ip", "link", "add", "br0", "type", "bridge")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", "br0")
        self.run("ip", "link", "set", "br0", "up")

    def host(self) -> Host:
        """Another host."""
        made = Host(self, len(self._hosts))
        self._hosts.append(made)
        return made

    def close(self) -> None:
        """Remove all of it."""
        for host in self._hosts:
            host.close()
        super().close()


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """A hub without hosts; skipped where namespaces may not be made."""
    try:
        made = Network()
    except OSError as exc:
        pytest.skip(f"optional: network namespaces cannot be made: {exc}")
    yield made
    made.close()
