"""The directory: listing, announcements, and coming and going of the last one."""

from __future__ import annotations

import os

import pytest

from bus.directory import DIRECTORY_TOKEN, Directory, list_streams
from bus.doorbell import open_doorbell
from bus.errors import SegmentInvalid
from bus.layout import METADATA_OFFSET, Kind
from bus.names import directory_object, instance_prefix, stream_object
from bus.publisher import Publisher
from bus.segment import Segment, list_objects
from tests.bus.test_readers import FakeRinger
from tests.platforms import path_of

CAPACITY = 1 << 16


def objects(instance: str) -> list[str]:
    return list_objects(instance_prefix(instance))


def test_the_first_makes_it_and_the_last_removes_it(instance: str) -> None:
    first = Directory(instance)
    second = Directory(instance)
    assert objects(instance) == [directory_object(instance)]
    first.announce()
    assert second.generation == 1
    first.remove_if_unused()
    first.close()
    assert objects(instance) == []
    second.remove_if_unused()
    second.close()
    second.close()


def test_it_stays_while_anything_else_is_there(instance: str) -> None:
    directory = Directory(instance)
    bell = open_doorbell(instance)
    directory.remove_if_unused()
    assert directory_object(instance) in objects(instance)
    bell.close()
    directory.remove_if_unused()
    assert objects(instance) == []
    directory.close()


def test_a_removed_directory_is_made_again_when_it_is_needed(instance: str) -> None:
    """Somebody else was the last one out between our look and our lock."""
    stale = Directory(instance)
    other = Directory(instance)
    other.remove_if_unused()
    other.close()
    bell = open_doorbell(instance)
    slot = stale.listen(bell)
    third = Directory(instance)
    third.announce()
    assert bell.drain() == {DIRECTORY_TOKEN}
    assert stale.generation == third.generation == 1
    third.close()
    stale.readers.release(slot)
    bell.close()
    stale.remove_if_unused()
    stale.close()


def test_announcements_ring_listeners(instance: str) -> None:
    directory, other = Directory(instance), Directory(instance)
    bell = open_doorbell(instance)
    slot = directory.listen(bell)
    assert bell.drain() == set()
    other.announce()
    assert bell.drain() == {DIRECTORY_TOKEN}
    ringer = FakeRinger()
    other.announce(ringer)
    assert ringer.take() == [(bell.id, DIRECTORY_TOKEN)]
    assert directory.generation == 2
    directory.readers.release(slot)
    other.announce(ringer)
    assert ringer.take() == []
    bell.close()
    directory.remove_if_unused()
    directory.close()
    other.close()


def test_publishers_are_announced_when_they_come_and_go(instance: str) -> None:
    directory = Directory(instance)
    bell = open_doorbell(instance)
    slot = directory.listen(bell)
    publisher = Publisher("cam", codec="test", instance=instance, capacity=CAPACITY)
    assert bell.drain() == {DIRECTORY_TOKEN}
    generation = directory.generation
    publisher.close()
    assert bell.drain() == {DIRECTORY_TOKEN}
    assert directory.generation > generation
    directory.readers.release(slot)
    bell.close()
    directory.remove_if_unused()
    directory.close()


def test_exclusive_is_exclusive(instance: str) -> None:
    directory = Directory(instance)
    other = Segment.attach(directory_object(instance), Kind.DIRECTORY)
    with directory.exclusive():
        assert not other.try_lock(1000)
    assert other.try_lock(1000)
    other.close()
    directory.remove_if_unused()
    directory.close()


def test_exclusive_ends_with_an_error(instance: str) -> None:
    directory = Directory(instance)
    with pytest.raises(KeyError), directory.exclusive():
        raise KeyError
    with directory.exclusive():
        pass
    directory.remove_if_unused()
    directory.close()


def test_a_foreign_directory_is_told(instance: str) -> None:
    path = path_of(directory_object(instance))
    with open(path, "wb") as file:
        file.write(bytes(METADATA_OFFSET))
    with pytest.raises(SegmentInvalid, match="not made by this program"):
        Directory(instance)
    os.unlink(path)


def test_list_streams(instance: str) -> None:
    assert list_streams(instance) == []
    with (
        Publisher("b", codec="mjpeg", instance=instance, capacity=CAPACITY),
        Publisher("a", codec="test", instance=instance, capacity=CAPACITY) as a,
    ):
        a.write(b"frame", key=True)
        found = list_streams(instance)
        assert [(info.name, info.live, info.frames) for info in found] == [
            ("a", True, 1),
            ("b", True, 0),
        ]
        assert found[1].metadata is not None
        assert found[1].metadata.codec == "mjpeg"
    assert list_streams(instance) == []


def test_list_streams_leaves_out_what_cannot_be_read(instance: str) -> None:
    path = path_of(stream_object(instance, "foreign"))
    with open(path, "wb") as file:
        file.write(b"x" * 100_000)
    with Publisher("cam", codec="test", instance=instance, capacity=CAPACITY):
        assert [info.name for info in list_streams(instance)] == ["cam"]
        os.unlink(path)


def test_instances_do_not_see_each_other(instance: str) -> None:
    other = f"{instance}.b"
    with Publisher("cam", codec="test", instance=instance, capacity=CAPACITY):
        assert list_streams(other) == []
        with Publisher("cam", codec="test", instance=other, capacity=CAPACITY):
            assert len(list_streams(other)) == len(list_streams(instance)) == 1
    assert objects(other) == []
