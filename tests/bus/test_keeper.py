"""Keeping the segments of dead publishers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bus import Publisher
from bus.keeper import StreamKeeper
from bus.names import instance_prefix, stream_object
from bus.reclaim import reclaim
from bus.segment import list_objects
from bus.stream import inspect_stream
from tests.bus.processes import Child
from tests.platforms import open_descriptors

CAPACITY = 1 << 16


@pytest.fixture
def keeper(instance: str) -> Iterator[StreamKeeper]:
    keeper = StreamKeeper(instance)
    yield keeper
    keeper.close()
    keeper.close()


def test_the_next_publisher_goes_on_in_the_dead_ones_segment(
    instance: str, keeper: StreamKeeper
) -> None:
    with Child("publish", instance, "cam", CAPACITY) as first:
        assert first.line() == "epoch 1"
        first.ask("key one")
        keeper.refresh()
        first.kill()
    assert not inspect_stream(instance, "cam").live
    with Publisher("cam", codec="test", instance=instance, capacity=CAPACITY) as second:
        assert second.epoch == 2
        assert inspect_stream(instance, "cam").publisher_pid == os.getpid()


def test_an_ended_stream_is_let_go(instance: str, keeper: StreamKeeper) -> None:
    before = open_descriptors()
    for _ in range(3):
        with Publisher("cam", codec="test", instance=instance, capacity=CAPACITY):
            keeper.refresh()
    keeper.refresh()
    assert open_descriptors() == before
    assert list_objects(instance_prefix(instance)) == []


def test_a_kept_stream_is_nobody_alive(instance: str, keeper: StreamKeeper) -> None:
    with Child("publish", instance, "cam", CAPACITY) as publisher:
        publisher.line()
        keeper.refresh()
        publisher.kill()
    assert stream_object(instance, "cam") in reclaim(instance)
    keeper.refresh()
