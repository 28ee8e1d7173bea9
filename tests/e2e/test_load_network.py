"""relay-load on another host than the relay, with a network between them that is too slow."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.networks import Network
from tests.cluster.networks import network as network
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.loading import LoadProcess


@pytest.mark.slow
def test_the_networks_limit_is_not_the_relays(
    network: Network, start_relay: StartRelay, publish: StartPublisher, tmp_path: Path
) -> None:
    """25 frames/s of 4 KB are 0.8 Mbit/s for each viewer; the card says 10 Gbit/s."""
    here, there = network.host(), network.host()
    relay = start_relay("--host", here.address, workers=1, prefix=here.prefix)
    publish("shm", "cam0", fps=25, size=4000)
    url = f"ws://{here.address}:{relay.port}/view/cam0"
    options = ("--viewers", "20", "--fail-if", "p99>500ms")
    with (
        here.slowed("8mbit", receiving=False, holds="200ms"),
        LoadProcess(url, tmp_path, *options, prefix=there.prefix) as test,
    ):
        # At least a second.
        test.until("p99 [0-9,.]{7,} ms")
        code, report = test.stop()
    assert code == 1
    assert report["diagnosis"]["generator"]
    assert report["diagnosis"]["resource"].startswith("network")
