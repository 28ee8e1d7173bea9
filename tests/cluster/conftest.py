"""Clusters for tests: a NATS server, nodes and publishers, gone when their test ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from relay.cluster.counters import ClusterCounters, Counter
from tests.cluster.nats_server import NatsServer
from tests.e2e.publishers import PublisherProcess
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import wait_until

__all__ = ["Cluster", "Node", "nats_cluster", "own_memory"]


class Node(RelayProcess):
    """One relay of a cluster.

    Attributes:
        name: its name in the cluster.
    """

    name: str

    def number(self, counter: Counter) -> int:
        """One of its bridge's numbers; 0 while there is no bridge."""
        numbers = ClusterCounters.read(self.instance)
        return numbers[counter] if numbers else 0

    def bridge(self) -> psutil.Process:
        """Its bridge's process."""

        def look() -> psutil.Process | None:
            for process in self.processes():
                with contextlib.suppress(psutil.Error):
                    if "relay.cluster" in process.cmdline():
                        return process
            return None

        found = wait_until(look, f"the bridge of {self.name}")
        assert found is not None
        return found

    def sees(self, stream: str, node: str | None) -> bool:
        """Whether it lists a stream as published on ``node``; None: not at all."""
        found = self.streams().get(stream)
        if node is None or found is None or not found["live"]:
            return node is None and (found is None or not found["live"])
        publisher = found["publisher"]
        return node == (publisher["address"] if publisher["kind"] == "cluster" else self.name)

    def wait_sees(self, stream: str, node: str | None) -> None:
        """Wait until `sees` is true."""
        wait_until(lambda: self.sees(stream, node), lambda: f"{stream} of {node}: {self.tail()}")


class Cluster:
    """One NATS server and the nodes that were started."""

    def __init__(self, instance: str, directory: Path, nats: NatsServer) -> None:
        self.nats = nats
        self.nodes: list[Node] = []
        self._instance = instance
        self._directory = directory
        self._publishers: list[PublisherProcess] = []

    def node(
        self,
        name: str,
        *options: str,
        creds: str = "",
        connected: bool = True,
        **settings: object,
    ) -> Node:
        """Start a node and wait until it is connected to NATS.

        Args:
            name: its name.
            *options: further flags.
            creds: what its credentials file holds; empty: it has none.
            connected: False: do not wait for NATS.
            **settings: as `RelayProcess`.
        """
        flags = ["--cluster", self.nats.url, "--cluster-node", name, *options]
        if creds:
            flags += ["--cluster-creds", str(self.replace_creds(name, creds))]
        log = self._directory / f"{name}.log"
        settings.setdefault("workers", 1)
        node = Node(f"{self._instance}-{name}", log, *flags, **settings)  # type: ignore[arg-type]
        node.name = name
        self.nodes.append(node)
        node.wait_ready()
        if connected:
            wait_until(lambda: node.number(Counter.CONNECTED), lambda: f"NATS: {node.tail()}")
        return node

    def start(self, *names: str) -> list[Node]:
        """Start nodes side by side."""
        with ThreadPoolExecutor(len(names)) as pool:
            return list(pool.map(self.node, names))

    def replace_creds(self, name: str, creds: str) -> Path:
        """Write a node's credentials file."""
        path = self._directory / f"{name}.creds"
        path.write_text(creds)
        return path

    def publish(
        self, node: Node, stream: str, *, live: bool = True, **settings: object
    ) -> PublisherProcess:
        """Start a publisher on a node's host."""
        publisher = PublisherProcess(
            "shm",
            stream,
            instance=node.instance,
            **settings,  # type: ignore[arg-type]
        )
        self._publishers.append(publisher)
        if live:
            publisher.wait_live()
        return publisher

    def stop_publishers(self) -> None:
        """End all of them."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(PublisherProcess.clean_up, self._publishers))
        self._publishers.clear()

    def clean_up(self) -> list[str]:
        """Stop everything; what should not have been left."""
        self.stop_publishers()
        with ThreadPoolExecutor() as pool:
            left = [found for each in pool.map(Node.clean_up, self.nodes) for found in each]
        self.nats.kill()
        return left


def own_memory(processes: Sequence[psutil.Process]) -> int:
    """Bytes that are no shared memory, such as rings."""
    infos = [each.memory_info() for each in processes]
    return sum(info.rss - info.shared for info in infos)


@contextlib.contextmanager
def nats_cluster(instance: str, directory: Path) -> Iterator[Cluster]:
    """A cluster without nodes, which must leave nothing behind.

    Args:
        instance: begins the names of the nodes' instances.
        directory: takes logs.
    """
    nats = NatsServer(directory / "nats.log")
    nats.start()
    made = Cluster(instance, directory, nats)
    try:
        yield made
    finally:
        left = made.clean_up()
        for node in made.nodes:
            print(node.tail())
    assert not left, f"left behind: {left}"


@pytest.fixture
def cluster(instance: str, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster without nodes."""
    with nats_cluster(instance, tmp_path) as made:
        yield made
