"""Reclaiming removes exactly what belongs to the dead."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bus import InvalidName, Publisher, SegmentInvalid, Subscriber
from bus.directory import Directory
from bus.doorbell import open_doorbell
from bus.layout import HEADER_BYTES, METADATA_OFFSET, VERSION, Kind, Word
from bus.names import (
    bell_object,
    directory_object,
    instance_prefix,
    stream_object,
    workers_object,
)
from bus.reclaim import main, reclaim
from bus.segment import Segment, list_objects
from tests.bus.conftest import crash
from tests.bus.processes import Child
from tests.platforms import path_of, posix_only

CAPACITY = 1 << 16


def objects(instance: str) -> list[str]:
    return list_objects(instance_prefix(instance))


def publisher(instance: str, stream: str) -> Publisher:
    return Publisher(stream, codec="test", instance=instance, capacity=CAPACITY)


def made(
    name: str, kind: Kind, change: Callable[[Segment], object] = lambda segment: None
) -> Segment:
    segment = Segment.create(name, kind, METADATA_OFFSET)
    change(segment)
    assert segment.publish()
    return segment


def test_nothing_to_do(instance: str) -> None:
    assert reclaim(instance) == []
    assert objects(instance) == []


@posix_only
def test_exactly_the_dead(instance: str) -> None:
    """Killed processes beside living ones, of every kind of object."""
    other = f"{instance}.other"
    with (
        publisher(instance, "alive") as alive,
        Subscriber("alive", instance=instance) as subscriber,
        Child("publish", instance, "dead", CAPACITY) as child,
        Child("read", instance, "alive", 0) as reader,
    ):
        child.line()
        reader.line()
        crash(publisher(other, "elsewhere"))
        before = objects(instance)
        reader.kill()
        child.kill()
        removed = reclaim(instance)
        assert stream_object(instance, "dead") in removed
        assert [name for name in removed if "bell" in name] == [
            name for name in removed if name != stream_object(instance, "dead")
        ]
        assert len(removed) == 2
        assert objects(instance) == sorted(set(before) - set(removed))
        assert reclaim(instance) == []
        alive.write(b"x", key=True)
        assert subscriber.read(0) is not None
    assert objects(instance) == []
    assert reclaim(other) == [stream_object(other, "elsewhere")]
    assert objects(other) == []


def test_a_live_publisher_of_another_process_is_left_alone(instance: str) -> None:
    with Child("publish", instance, "cam", CAPACITY) as child:
        child.line()
        assert reclaim(instance) == []
        assert child.ask("key still there") == "0"
        child.send("close")
        child.finish()


def test_a_segment_that_was_never_named(instance: str) -> None:
    mine = Segment.create(stream_object(instance, "cam"), Kind.STREAM, HEADER_BYTES)
    with Child("publish", instance, "cam", CAPACITY) as child:
        child.line()
        pid = child.pid
        unborn = stream_object(instance, f"x~{pid}.0123abcd")
        open(path_of(unborn), "w").close()
        assert unborn not in reclaim(instance)
        child.kill()
    garbage = stream_object(instance, "y~garbage")
    open(path_of(garbage), "w").close()
    assert reclaim(instance) == [stream_object(instance, "cam"), unborn, garbage]
    assert len(objects(instance)) == 2, "mine is still being made"
    mine.close()
    assert reclaim(instance) == []


@posix_only
def test_bells(instance: str) -> None:
    alive = open_doorbell(instance)
    os.mkfifo(path_of(bell_object(instance, 7)))
    assert reclaim(instance) == [bell_object(instance, 7)]
    alive.close()
    assert reclaim(instance) == []


def test_a_bell_that_cannot_be_asked_is_left_alone(
    instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = open_doorbell(instance)
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if "bell" in path:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert reclaim(instance) == []
    assert bell_object(instance, alive.id) in objects(instance)
    alive.close()
    reclaim(instance)


@pytest.mark.parametrize(
    "name", [stream_object, lambda instance, _: workers_object(instance)], ids=["stream", "workers"]
)
@pytest.mark.parametrize(
    "change",
    [
        lambda segment: None,
        lambda segment: segment.words.__setitem__(Word.VERSION, VERSION + 1),
        lambda segment: segment.words.__setitem__(Word.MAGIC, 0),
        lambda segment: segment.words.__setitem__(Word.SIZE, 5),
    ],
    ids=["plain", "version", "magic", "size"],
)
def test_segments_are_judged_by_their_locks_and_not_by_their_content(
    instance: str, name: Callable[[str, str], str], change: Callable[[Segment], object]
) -> None:
    segment = made(name(instance, "cam"), Kind.WORKERS, change)
    for number in (0, 64):
        assert segment.try_lock(number)
        assert reclaim(instance) == []
        segment.unlock(number)
    assert reclaim(instance) == [segment.name]
    segment.close()
    assert objects(instance) == []


def test_an_empty_file(instance: str) -> None:
    name = stream_object(instance, "cam")
    open(path_of(name), "w").close()
    assert reclaim(instance) == [name]


@posix_only
def test_a_directory_of_another_version(instance: str) -> None:
    segment = made(
        directory_object(instance),
        Kind.DIRECTORY,
        lambda segment: segment.words.__setitem__(Word.VERSION, VERSION + 1),
    )
    segment.try_lock(3)
    with pytest.raises(SegmentInvalid, match=f"layout version {VERSION + 1}"):
        reclaim(instance)
    segment.close()
    assert reclaim(instance) == [directory_object(instance)]
    assert objects(instance) == []


def test_listeners_hear_of_it(instance: str) -> None:
    directory = Directory(instance)
    bell = open_doorbell(instance)
    slot = directory.listen(bell)
    crash(publisher(instance, "cam"))
    bell.drain()
    generation = directory.generation
    reclaim(instance)
    assert directory.generation > generation
    assert bell.drain()
    directory.readers.release(slot)
    bell.close()
    directory.remove_if_unused()
    directory.close()


def test_refused_instance() -> None:
    with pytest.raises(InvalidName, match=r"invalid instance name '\.\./x'"):
        reclaim("../x")


def test_command(instance: str, capsys: pytest.CaptureFixture[str]) -> None:
    crash(publisher(instance, "cam"))
    assert main([instance]) == 0
    assert capsys.readouterr().out == (f"removed {stream_object(instance, 'cam')}\n1 removed\n")
    assert main(["../x"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("bus.reclaim: invalid instance name '../x'")
    assert captured.err.count("\n") == 1
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0


def test_command_line(instance: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bus.reclaim", instance],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 removed\n", "")
