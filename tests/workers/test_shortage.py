"""A worker whose last descriptor is gone: said in words, once, and mended by itself."""

from __future__ import annotations

import pytest

from tests.platforms import WINDOWS
from tests.workers.harness import wait_until
from tests.workers.scene import Scene
from workers.table import Column

if WINDOWS:
    pytest.skip("optional: processes have no descriptor limit here", allow_module_level=True)

import resource

HELLO = {"type": "hello", "codec": "vp8"}


class Shortage:
    """The worker can open nothing while this is entered; what is open stays open."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    def __enter__(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (3, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, self._before)


def test_a_stream_begins(scene: Scene) -> None:
    scene.fleet.expected_error = "stream late: cannot open shared-memory segment"
    pid = scene.fleet.worker.pid
    viewer = scene.viewer("late")
    with Shortage(pid):
        publisher = scene.publish("late")
        wait_until(lambda: "stream late: " in scene.fleet.log(), "the trouble said")
        publisher.write(b"a picture")
        scene.exchange()
    viewer.expect("live")
    viewer.expect("hello")
    assert viewer.picture().payload == b"a picture"


def test_a_remote_publisher_begins(scene: Scene) -> None:
    publisher = scene.connect().upgrade("/publish/late")
    with Shortage(scene.fleet.worker.pid):
        publisher.say(HELLO)
        code, reason = publisher.read_close()
        assert code == 1013
        assert "open files" in reason
        scene.refused(Column.REFUSED_LIMIT)
        scene.exchange()
    again = scene.connect().upgrade("/publish/late")
    again.say(HELLO)
    assert again.expect("ok")["stream"] == "late"
