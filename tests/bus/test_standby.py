"""A publisher on standby holds a name and hears of readers; another one goes on from there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from bus import BusError, Publisher, StreamBusy, Subscriber, TakenOver
from bus.directory import Directory, list_streams
from bus.doorbell import Doorbell, open_doorbell

TOKEN = 7


@pytest.fixture
def bell(instance: str) -> Iterator[Doorbell]:
    with (
        contextlib.closing(Directory(instance)) as directory,
        contextlib.closing(open_doorbell(instance)) as made,
    ):
        yield made
        made.close()
        directory.remove_if_unused()


def standby(instance: str, *, takeover: bool = False) -> Publisher:
    return Publisher(
        "cam",
        codec="avc1.64001f",
        width=640,
        height=480,
        instance=instance,
        kind="cluster",
        address="north",
        standby=True,
        takeover=takeover,
    )


def live(instance: str) -> Publisher:
    return Publisher("cam", codec="avc1.64001f", instance=instance, kind="cluster", takeover=True)


def test_it_is_listed_with_its_metadata(instance: str) -> None:
    with standby(instance):
        (seen,) = list_streams(instance)
    assert seen.live
    assert seen.metadata is not None
    assert (seen.metadata.kind, seen.metadata.address) == ("cluster", "north")
    assert (seen.metadata.width, seen.metadata.height) == (640, 480)


def test_another_publisher_is_refused_with_the_node(instance: str) -> None:
    with standby(instance), pytest.raises(StreamBusy, match="published by node 'north'"):
        Publisher("cam", codec="mjpeg", instance=instance)


def test_it_cannot_write_or_change(instance: str) -> None:
    with standby(instance) as publisher:
        with pytest.raises(BusError, match="on standby"):
            publisher.write(b"frame")
        with pytest.raises(BusError, match="on standby"):
            publisher.update(fps=30.0)


def test_a_reader_waits_and_starts_with_the_first_frame_of_the_successor(instance: str) -> None:
    with standby(instance) as waiting, Subscriber("cam", instance=instance) as reader:
        with pytest.raises(TimeoutError):
            reader.read(timeout=0)
        assert reader.metadata is None
        with live(instance) as publisher:
            assert waiting.taken_over
            publisher.write(b"one", key=True)
            frame = reader.read(timeout=10)
            assert frame is not None
            assert frame.payload == b"one"


def test_readers_waiting_in_an_orphaned_standby_are_not_told_of_the_next(instance: str) -> None:
    """The next standby is no beginning of the stream either."""
    with standby(instance), Subscriber("cam", instance=instance) as reader:
        with standby(instance, takeover=True), pytest.raises(TimeoutError):
            reader.read(timeout=0)
        assert reader.metadata is None


def test_it_is_rung_when_a_reader_comes_wants_a_key_frame_and_goes(
    instance: str, bell: Doorbell
) -> None:
    with live(instance) as publisher:
        publisher.listen(bell, TOKEN)
        bell.drain()
        reader = Subscriber("cam", instance=instance)
        assert bell.drain() == {TOKEN}
        assert publisher.readers == 1
        reader.want_key()
        assert bell.drain() == {TOKEN}
        assert publisher.key_requested
        reader.close()
        assert bell.drain() == {TOKEN}
        assert publisher.readers == 0


def test_readers_that_came_before_it_listened_are_counted(instance: str, bell: Doorbell) -> None:
    with standby(instance) as publisher, Subscriber("cam", instance=instance):
        publisher.listen(bell, TOKEN)
        assert bell.drain() == {TOKEN}
        assert publisher.readers == 1


def test_it_follows_a_publisher_that_lives(instance: str) -> None:
    with (
        live(instance) as publisher,
        standby(instance, takeover=True),
        pytest.raises(TakenOver, match="node 'north'"),
    ):
        publisher.write(b"frame", key=True)
