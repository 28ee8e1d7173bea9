"""Named shared memory: creating, attaching, locks, and everything that can be in the way."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import subprocess
import sys

import pytest

from bus.errors import Exhausted, NoSpace, SegmentInvalid, SegmentMissing
from bus.layout import HEADER_BYTES, MAGIC, VERSION, Kind, Word
from bus.names import directory_object, instance_prefix
from bus.segment import Segment, list_objects
from tests.bus.processes import Child
from tests.platforms import attach_mapping, open_descriptors, path_of, posix_only

SIZE = 3 * 4096


@pytest.fixture
def name(instance: str) -> str:
    return directory_object(instance)


def made(name: str) -> Segment:
    segment = Segment.create(name, Kind.DIRECTORY, SIZE)
    assert segment.publish()
    return segment


def test_two_mappings_are_the_same_memory(name: str) -> None:
    first = made(name)
    second = Segment.attach(name, Kind.DIRECTORY)
    first.words[100] = 2**64 - 1
    second.slice(1600, 1604)[:] = b"abcd"
    assert second.words[100] == 2**64 - 1
    assert bytes(first.view[1600:1604]) == b"abcd"
    assert len(second.view) == SIZE
    first.unlink()
    first.close()
    assert second.words[100] == 2**64 - 1
    second.close()


@posix_only
def test_a_new_segment_is_zeroed_private_and_reserved(name: str) -> None:
    segment = made(name)
    status = os.stat(path_of(name))
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_blocks * 512 >= SIZE
    assert not any(segment.view[HEADER_BYTES:])
    segment.unlink()
    segment.close()


def test_nobody_can_attach_before_publish(name: str) -> None:
    segment = Segment.create(name, Kind.DIRECTORY, SIZE)
    with pytest.raises(SegmentMissing, match=name):
        Segment.attach(name, Kind.DIRECTORY)
    segment.close()


def test_what_was_never_published_leaves_nothing(instance: str, name: str) -> None:
    Segment.create(name, Kind.DIRECTORY, SIZE).close()
    assert list_objects(instance_prefix(instance)) == []


def test_a_name_is_given_once(instance: str, name: str) -> None:
    first = made(name)
    second = Segment.create(name, Kind.DIRECTORY, SIZE)
    assert not second.publish()
    assert not second.is_current()
    second.unlink()
    second.close()
    assert list_objects(instance_prefix(instance)) == [name]
    assert first.is_current()
    first.unlink()
    assert not first.is_current()
    first.close()


def test_unlink_leaves_a_successor_alone(name: str) -> None:
    old = made(name)
    old.unlink()
    new = made(name)
    old.unlink()
    assert new.is_current()
    new.unlink()
    new.unlink()
    new.close()
    old.close()


def test_close_twice(name: str) -> None:
    segment = made(name)
    part, words = segment.slice(0, 8), segment.slice_words(0, 8)
    segment.unlink()
    segment.close()
    segment.close()
    for view in (part, words, segment.words, segment.view):
        with pytest.raises(ValueError, match="released"):
            view[0]


# Locks.


def test_a_lock_has_one_holder(name: str) -> None:
    first, second = made(name), Segment.attach(name, Kind.DIRECTORY)
    assert first.try_lock(5)
    assert first.try_lock(5)
    assert not second.try_lock(5)
    assert second.locked_elsewhere(5)
    assert not first.locked_elsewhere(5)
    assert second.try_lock(6)
    first.unlock(5)
    assert second.try_lock(5)
    first.unlink()
    first.close()
    second.close()


def test_closing_one_mapping_keeps_the_locks_of_another(name: str) -> None:
    """POSIX's older locks fail here: they belong to the process."""
    first, second = made(name), Segment.attach(name, Kind.DIRECTORY)
    third = Segment.attach(name, Kind.DIRECTORY)
    assert first.try_lock(5)
    second.close()
    assert not third.try_lock(5)
    first.unlink()
    first.close()
    assert third.try_lock(5)
    third.close()


def test_any_lock_of_somebody_else(name: str) -> None:
    segment = made(name)
    other = attach_mapping(name, HEADER_BYTES)
    assert not other.any_locked_elsewhere()
    for number in (0, 63, 64, 1000):
        segment.try_lock(number)
        assert other.any_locked_elsewhere()
        segment.unlock(number)
        assert not other.any_locked_elsewhere()
    other.try_lock(7)
    assert not other.any_locked_elsewhere()
    other.close()
    segment.unlink()
    segment.close()


# What can be in the way.


def write(name: str, data: bytes) -> None:
    fd = os.open(path_of(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, data)
    os.close(fd)


def image(size: int = SIZE, **changes: int) -> bytes:
    words = [0] * (size // 8)
    words[Word.MAGIC], words[Word.VERSION], words[Word.KIND] = MAGIC, VERSION, Kind.DIRECTORY
    words[Word.SIZE] = size
    for word, value in changes.items():
        words[Word[word]] = value
    return struct.pack(f"={len(words)}Q", *words)


def test_the_image_is_good(name: str) -> None:
    write(name, image())
    Segment.attach(name, Kind.DIRECTORY).close()
    os.unlink(path_of(name))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "truncated: 0 bytes", id="empty"),
        pytest.param(b"x", "truncated: 1 bytes", id="one byte"),
        pytest.param(image()[: HEADER_BYTES - 1], "truncated: 4095 bytes", id="part of a header"),
        pytest.param(image()[:-1], "truncated: 12287 of 12288 bytes", id="one byte less"),
        pytest.param(image()[:HEADER_BYTES], "truncated: 4096 of 12288 bytes", id="header only"),
        pytest.param(image() + b"\0", "12289 of 12288 bytes", id="one byte more"),
        pytest.param(image(SIZE=0), "12288 of 0 bytes", id="no size"),
        pytest.param(bytes(SIZE), "not made by this program", id="zeros"),
        pytest.param(b"\xff" * SIZE, "not made by this program", id="ones"),
        pytest.param(image(MAGIC=MAGIC + 1), "not made by this program", id="magic"),
        pytest.param(
            image(VERSION=VERSION - 1), f"layout version {VERSION - 1}, .* {VERSION}", id="older"
        ),
        pytest.param(
            image(VERSION=VERSION + 1), f"layout version {VERSION + 1}, .* {VERSION}", id="newer"
        ),
        pytest.param(image(KIND=Kind.WORKERS), "kind 3, not directory", id="kind"),
    ],
)
def test_a_segment_that_cannot_be_used_says_why(name: str, data: bytes, reason: str) -> None:
    write(name, data)
    try:
        with pytest.raises(SegmentInvalid, match=reason) as caught:
            Segment.attach(name, Kind.DIRECTORY)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    finally:
        os.unlink(path_of(name))


def test_a_folder_and_a_link_are_no_segments(name: str) -> None:
    os.mkdir(path_of(name))
    with pytest.raises(SegmentInvalid, match="is a directory"):
        Segment.attach(name, Kind.DIRECTORY)
    os.rmdir(path_of(name))
    os.symlink("/etc/passwd", path_of(name))
    with pytest.raises(SegmentInvalid, match="symbolic links"):
        Segment.attach(name, Kind.DIRECTORY)
    os.unlink(path_of(name))


def test_a_refused_segment_leaves_no_descriptor(name: str) -> None:
    write(name, image()[:-1])
    before = open_descriptors()
    with pytest.raises(SegmentInvalid):
        Segment.attach(name, Kind.DIRECTORY)
    assert open_descriptors() == before
    os.unlink(path_of(name))


@posix_only
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_want_of_descriptors_is_no_fault_of_the_segment(
    name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, flags: int, mode: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Exhausted, match=rf"{name}.*ulimit -n"):
        Segment.attach(name, Kind.DIRECTORY)
    with pytest.raises(Exhausted, match=rf"{name}.*ulimit -n") as caught:
        Segment.create(name, Kind.DIRECTORY, SIZE)
    assert caught.value.errno == number


# Full shared memory.


@posix_only
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.ENOMEM])
def test_reservation_fails(
    instance: str, name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, offset: int, size: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    before = open_descriptors()
    with pytest.raises(NoSpace, match=rf"/dev/shm: {SIZE} bytes needed, \d+ free"):
        Segment.create(name, Kind.DIRECTORY, SIZE)
    assert open_descriptors() == before
    assert list_objects(instance_prefix(instance)) == []


def own_shared_memory(size: str) -> tuple[str, ...]:
    """Command prefix that gives a process a /dev/shm of its own."""
    mount = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$0" "$@"'
    for unshare in (("unshare", "-m"), ("unshare", "-rm")):
        command = (*unshare, "sh", "-c", mount)
        if (
            shutil.which("unshare")
            and not subprocess.run([*command, "true"], capture_output=True).returncode
        ):
            return command
    pytest.skip("optional: needs unshare(1) and the right to mount a tmpfs")


def test_full_shared_memory(instance: str) -> None:
    """An error when it is asked for, and never SIGBUS in the middle of a frame."""
    with Child("crowd", instance, python=(*own_shared_memory("1m"), sys.executable)) as child:
        refused = child.line()
        assert refused.startswith("NoSpace: not enough space in /dev/shm: 16818176 bytes needed, ")
        assert child.line() == "left []"
        assert child.line() == "No space left on device"
        assert child.line() == "read 99 after 99 lost"
        child.finish()
