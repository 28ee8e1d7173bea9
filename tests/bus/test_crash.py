"""Real processes that end in the middle of everything, in every Python there is here."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest

from bus import Publisher, Subscriber
from bus.names import instance_prefix, stream_object
from bus.reclaim import reclaim
from bus.segment import list_objects
from bus.stream import inspect_stream
from tests.bus.processes import Child
from tests.platforms import posix_only

CAPACITY = 1 << 16


@dataclass
class Python:
    """An interpreter for children."""

    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)

    def child(self, role: str, *arguments: object) -> Child:
        return Child(role, *arguments, python=self.command, environment=self.environment)


def find_other(version: str, folder: Path) -> Python:
    """An interpreter of another version that can import `bus`."""
    # Version managers put a stand-in on the path that runs only where a version is chosen.
    managed = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    candidates = [
        shutil.which(f"python{version}"),
        *sorted(glob.glob(f"{managed}/versions/{version}*/bin/python{version}")),
    ]
    # The package of this interpreter serves: without its compiled part it is pure Python.
    (folder / "msgpack").symlink_to(Path(msgpack.__file__).parent)
    environment = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    for candidate in candidates:
        if candidate is not None:
            probe = subprocess.run(
                [candidate, "-c", "import sys, msgpack; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                env={**os.environ, **environment},
            )
            if probe.stdout.strip() == version:
                return Python([candidate], environment)
    pytest.skip(f"optional: needs a python{version} that runs")


@pytest.fixture(params=["this", "3.13"])
def python(request: pytest.FixtureRequest, tmp_path: Path) -> Python:
    if request.param == "this":
        return Python([sys.executable])
    return find_other(request.param, tmp_path)


def test_worker_exit_keeps_segment(instance: str, python: Python) -> None:
    """Readers that exit or are killed take nothing with them, and nobody complains."""
    with (
        python.child("publish", instance, "cam", CAPACITY) as publisher,
        python.child("read", instance, "cam", 2) as leaver,
        python.child("read", instance, "cam", 0) as victim,
        python.child("read", instance, "cam", 0) as stayer,
    ):
        assert publisher.line() == "epoch 1"
        readers = {leaver, victim, stayer}
        for reader in readers:
            assert reader.line() == "ready"
        for number in range(6):
            assert publisher.ask(f"key {number}") == str(number)
            for reader in readers:
                assert reader.line() == f"key {number}"
            if number == 1:
                leaver.finish()
                readers.remove(leaver)
            if number == 3:
                victim.kill()
                readers.remove(victim)
        assert stream_object(instance, "cam") in list_objects(instance_prefix(instance))
        publisher.send("close")
        publisher.finish()
        assert stayer.line() == "end"
        stayer.finish()
        assert victim.complaints() == ""
    reclaim(instance)


def test_torn_write(instance: str, python: Python) -> None:
    """SIGKILL between intent and tail: nothing torn, and the next writer goes on."""
    with (
        python.child("publish", instance, "cam", CAPACITY) as first,
        python.child("read", instance, "cam", 0) as reader,
        Subscriber("cam", instance=instance, timeout=60) as subscriber,
    ):
        assert first.line() == "epoch 1"
        assert reader.line() == "ready"
        assert first.ask("key whole") == "0"
        assert reader.line() == "key whole"
        assert subscriber.read() is not None
        assert first.ask("tear " + "torn " * 400) == "torn"
        with pytest.raises(TimeoutError):
            subscriber.read(0)
        first.kill()
        with Subscriber("cam", instance=instance) as late, pytest.raises(TimeoutError):
            late.read(0)
        with python.child("publish", instance, "cam", CAPACITY) as second:
            assert second.line() == "epoch 2"
            assert second.ask("delta too early") == "0"
            for number in range(1, 60):
                text = f"{number} " + "after " * 300
                assert second.ask(f"key {text}") == str(number)
                assert reader.line() == f"key {text}".strip()
                frame = subscriber.read()
                assert frame is not None
                assert frame.payload.decode() == text.strip()
            assert (subscriber.lost, subscriber._subscription.corrupt) == (0, 0)
            second.send("close")
            second.finish()
        assert reader.line() == "end"
        reader.finish()


def test_a_killed_publisher_is_followed_by_another_process(instance: str) -> None:
    """The reader's subscription lives through three epochs."""
    with Child("read", instance, "cam", 0) as reader:
        assert reader.line() == "ready"
        for epoch in (1, 2, 3):
            with Child("publish", instance, "cam", CAPACITY) as publisher:
                assert publisher.line() == f"epoch {epoch}"
                if epoch > 1:
                    publisher.ask("delta of no use")
                publisher.ask(f"key {epoch}")
                assert reader.line() == f"key {epoch}"
                publisher.ask(f"delta {epoch}")
                assert reader.line() == f"delta {epoch}"
                info = inspect_stream(instance, "cam")
                assert (info.epoch, info.publisher_pid, info.live) == (epoch, publisher.pid, True)
                publisher.kill()
            assert not inspect_stream(instance, "cam").live
        with Publisher("cam", codec="test", instance=instance, capacity=CAPACITY) as last:
            assert last.epoch == 4
            last.write(b"last", key=True)
            assert reader.line() == "key last"
        assert reader.line() == "end"
        reader.finish()


@posix_only
def test_the_end_of_a_forked_copy_ends_nothing(instance: str) -> None:
    """`multiprocessing` with the fork method makes such copies."""
    with Child("fork", instance) as child:
        assert [child.line() for _ in range(3)] == ["0", "True", "still here"]
        child.finish()
    assert list_objects(instance_prefix(instance)) == []
