"""Windows' named memory and its registry: what POSIX has no counterpart for."""

from __future__ import annotations

import contextlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bus.errors import NoSpace, SegmentInvalid, SegmentMissing
from bus.names import directory_object, instance_prefix
from bus.segment import list_objects
from tests.bus.processes import Child

assert sys.platform == "win32"

from bus import segment_windows  # noqa: E402

SIZE = 8192


@pytest.fixture
def name(instance: str) -> str:
    return directory_object(instance)


def registry(instance: str) -> list[Path]:
    """Files of an instance's objects."""
    folder = Path(segment_windows._folder())
    return [path for path in folder.iterdir() if path.name.startswith(instance_prefix(instance))]


def test_memory_is_gone_with_its_last_holder(instance: str, name: str) -> None:
    first = segment_windows.create(name, SIZE)
    assert registry(instance) == []
    assert first.publish()
    assert len(registry(instance)) == 1
    second = segment_windows.attach(name, SIZE)
    first.close()
    assert list_objects(instance_prefix(instance)) == [name]
    second.close()
    with pytest.raises(SegmentMissing):
        segment_windows.attach(name, SIZE)
    assert registry(instance) == [], "whoever meets what the dead left removes it"


def test_the_name_of_the_dead_is_free(instance: str, name: str) -> None:
    with contextlib.closing(segment_windows.create(name, SIZE)) as dead:
        assert dead.publish()
    with contextlib.closing(segment_windows.create(name, SIZE)) as alive:
        assert alive.publish()
        assert len(registry(instance)) == 1
        alive.unlink()


def test_a_new_segment_takes_the_name_while_the_old_memory_lives(name: str) -> None:
    old = segment_windows.create(name, SIZE)
    assert old.publish()
    old.view[0] = 1
    old.unlink()
    new = segment_windows.create(name, SIZE)
    assert new.publish()
    assert (old.view[0], new.view[0]) == (1, 0)
    assert old.try_lock(7)
    assert new.try_lock(7), "locks are those of one segment, not of its name"
    new.unlink()
    new.close()
    old.close()


def test_names_that_differ_in_case_alone(instance: str) -> None:
    names = [f"{instance_prefix(instance)}stream@{stream}" for stream in ("Cam", "cam", "cam.")]
    made = [segment_windows.create(name, SIZE + number) for number, name in enumerate(names)]
    for mapping in made:
        assert mapping.publish()
    for number, name in enumerate(names):
        with contextlib.closing(segment_windows.attach(name, 1)) as found:
            assert len(found.view) == SIZE + number
    for mapping in made:
        mapping.unlink()
        mapping.close()


def test_other_files_in_the_registry_are_nobodys(instance: str, name: str) -> None:
    folder = Path(segment_windows._folder())
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [folder / f"{name}{end}" for end in ("", "@", "@x.y", "@12")]
    for path in foreign:
        path.touch()
    with pytest.raises(SegmentMissing):
        segment_windows.attach(name, 1)
    assert list_objects(instance_prefix(instance)) == []
    for path in foreign:
        path.unlink()


def test_a_name_is_given_once_however_many_want_it(name: str) -> None:
    made = [segment_windows.create(name, SIZE) for _ in range(8)]
    start = threading.Barrier(len(made))

    def publish(mapping: segment_windows.WindowsMapping) -> bool:
        start.wait()
        return mapping.publish()

    with ThreadPoolExecutor(len(made)) as pool:
        assert sum(pool.map(publish, made)) == 1
    for mapping in made:
        mapping.unlink()
        mapping.close()


def test_a_lock_belongs_to_no_thread(name: str) -> None:
    """A mutex would let its thread in twice, and nobody else give it back."""
    first = segment_windows.create(name, SIZE)
    assert first.publish()
    second = segment_windows.attach(name, SIZE)
    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(first.try_lock, 3).result()
    assert not second.try_lock(3)
    first.unlock(3)
    assert second.try_lock(3)
    first.unlink()
    first.close()
    second.close()


def test_asking_for_a_lock_keeps_nobody_from_taking_it(name: str) -> None:
    holder = segment_windows.create(name, SIZE)
    assert holder.publish()
    curious = segment_windows.attach(name, SIZE)
    done = threading.Event()

    def ask() -> int:
        asked = 0
        while not done.is_set():
            curious.locked_elsewhere(5)
            asked += 1
        return asked

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        taken = 0
        for _ in range(300):
            taken += holder.try_lock(5)
            holder.unlock(5)
        done.set()
        assert asking.result() > 0
    assert taken == 300
    holder.unlink()
    holder.close()
    curious.close()


def test_locks_fall_with_their_process(instance: str) -> None:
    with Child("publish", instance, "cam", 1 << 16) as child:
        child.line()
        name = f"{instance_prefix(instance)}stream@cam"
        with contextlib.closing(segment_windows.attach(name, 1)) as seen:
            assert seen.locked_elsewhere(64)
            assert seen.any_locked_elsewhere()
            assert not seen.try_lock(64)
            child.kill()
            assert not seen.locked_elsewhere(64)
            assert not seen.any_locked_elsewhere()
            assert seen.try_lock(64)
            seen.unlink()


def test_more_memory_than_there_is(name: str) -> None:
    with pytest.raises(NoSpace, match=r"not enough space in memory and page file: \d+ bytes"):
        segment_windows.create(name, 1 << 46)


def test_less_memory_than_the_registry_says(instance: str, name: str) -> None:
    with contextlib.closing(segment_windows.create(name, 4096)) as mapping:
        assert mapping.publish()
        (path,) = registry(instance)
        stem = path.name.rpartition(".")[0]
        larger = path.rename(path.with_name(f"{stem}.100000"))
        with pytest.raises(SegmentInvalid, match="truncated"):
            segment_windows.attach(name, 1)
        larger.unlink()
