"""Relays and publishers for tests, each gone without a trace when its test ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.publishers import PublisherProcess
from tests.e2e.relay_process import RelayProcess

StartRelay = Callable[..., RelayProcess]
StartPublisher = Callable[..., PublisherProcess]


@pytest.fixture
def start_relay(instance: str, tmp_path: Path) -> Iterator[StartRelay]:
    """Starts a relay of the test's own instance; see `RelayProcess` for its arguments.

    ``ready=False`` does not wait until it is ready. Afterwards nothing of it may be left:
    no process, and (by the fixture ``instance``) nothing in shared memory.
    """
    started: list[RelayProcess] = []

    def start(*options: str, ready: bool = True, **settings: Any) -> RelayProcess:
        relay = RelayProcess(instance, tmp_path / "relay.log", *options, **settings)
        started.append(relay)
        if ready:
            relay.wait_ready()
        return relay

    yield start
    left = [found for relay in started for found in relay.clean_up()]
    for relay in started:
        print(relay.tail())
    assert not left, f"left behind: {left}"


@pytest.fixture
def publish(instance: str) -> Iterator[StartPublisher]:
    """Starts a publisher; see `publishing`."""
    with publishing(instance) as start:
        yield start


@contextlib.contextmanager
def publishing(instance: str, **always: Any) -> Iterator[StartPublisher]:
    """Starts publishers; see `PublisherProcess` for their arguments.

    Waits until each is live, except with ``live=False``.
    """
    started: list[PublisherProcess] = []

    def start(
        kind: str, stream: str, *, live: bool = True, url: str = "", **settings: Any
    ) -> PublisherProcess:
        publisher = PublisherProcess(kind, stream, instance=instance, url=url, **always, **settings)
        started.append(publisher)
        if live:
            publisher.wait_live()
        return publisher

    yield start
    for publisher in started:
        publisher.clean_up()
