"""A cluster whose nodes are on hosts of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.cluster.conftest import Cluster, Node
from tests.cluster.nats_server import NatsServer
from tests.cluster.networks import Host, Network

__all__ = ["spread_over", "start_on"]


@contextlib.contextmanager
def spread_over(
    network: Network, hosts: Mapping[str, Host], instance: str, directory: Path
) -> Iterator[tuple[Cluster, list[Node]]]:
    """A cluster with a node on each host, and NATS on the hub.

    Args:
        network: the hub.
        hosts: by their nodes' names.
        instance: begins the names of the nodes' instances.
        directory: takes logs.
    """
    nats = NatsServer(directory / "nats.log", host=network.address, prefix=network.prefix)
    nats.start()
    cluster = Cluster(instance, directory, nats)
    try:
        with ThreadPoolExecutor(len(hosts)) as pool:
            starting = pool.map(partial(start_on, cluster), hosts, hosts.values())
        yield cluster, list(starting)
    finally:
        left = cluster.clean_up()
    assert not left, f"left behind: {left}"


def start_on(cluster: Cluster, name: str, host: Host, *options: str) -> Node:
    """Start a node on a host."""
    node = cluster.node(name, "--host", "0.0.0.0", *options, prefix=host.prefix)
    node.host = host.access
    return node
