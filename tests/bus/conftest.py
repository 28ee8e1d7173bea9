"""Publishers and subscriptions for the bus's tests, and their settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from bus import Publisher, Subscriber
from bus.doorbell import Doorbell, open_doorbell
from bus.frame import decode
from bus.reclaim import reclaim
from bus.ring import Record
from bus.subscription import Ended, Started, Subscription
from tests.platforms import keep

# No test asserts a maximum time; the runner's timeout is the watchdog.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

CAPACITY = 1 << 16
TOKEN = 5

Publish = Callable[..., Publisher]


@pytest.fixture
def publish(instance: str) -> Iterator[Publish]:
    """Makes publishers, by default of ``cam``, and closes them in the end."""
    made: list[Publisher] = []

    def make(stream: str = "cam", **options: object) -> Publisher:
        wanted: dict[str, object] = {"codec": "test", "capacity": CAPACITY, "instance": instance}
        publisher = Publisher(stream, **(wanted | options))  # type: ignore[arg-type]
        made.append(publisher)
        return publisher

    yield make
    for publisher in made:
        publisher.close()


@pytest.fixture
def bell(instance: str) -> Iterator[Doorbell]:
    """A doorbell of this process."""
    bell = open_doorbell(instance)
    yield bell
    bell.close()
    # Nobody else is left who would remove the directory.
    reclaim(instance)


@pytest.fixture
def subscription(instance: str, bell: Doorbell) -> Iterator[Subscription]:
    """Follows ``cam``, and is rung with `TOKEN`."""
    subscription = Subscription(instance, "cam", bell, TOKEN)
    yield subscription
    subscription.close()
    subscription.close()


def crash(publisher: Publisher) -> None:
    """Leave what a publisher's death leaves: the segment, and no lock."""
    keep(publisher.instance, publisher.stream)
    publisher._closed = True
    publisher._stream.close()
    publisher._directory.close()
    publisher._ringer.close()


def read(subscriber: Subscriber) -> bytes:
    """The payload that is next, and is there."""
    frame = subscriber.read(0)
    assert frame is not None
    return frame.payload


def events(subscription: Subscription) -> list[Any]:
    """All that happened, records by their payload, news by their init data or epoch."""
    found: list[Any] = []
    while (event := subscription.poll()) is not None:
        match event:
            case Record():
                found.append(decode(event.data).payload)
            case Started(metadata):
                found.append(("started", metadata.epoch, metadata.init))
            case Ended():
                found.append(event)
    return found
