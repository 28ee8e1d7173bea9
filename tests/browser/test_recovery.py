"""Workers and publishers die; pages go on by themselves."""

from __future__ import annotations

import os
import signal
from typing import Final

import pytest

from tests.browser.conftest import OpenPage, Publish
from tests.browser.player import Player, Socket
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import wait_until
from workers.table import Column

pytestmark = pytest.mark.browser

SMALL: Final = ("--size", "320x180", "--fps", "25")


def test_killed_worker_costs_a_reconnect(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """SIGKILL under a watching page: it dials again, and starts with a key frame."""
    publish("demo", "cam0", *SMALL)
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/cam0"))
    player.wait_live()
    os.kill(_worker_of_the_only_viewer(relay), signal.SIGKILL)
    stats = player.wait("s.reconnects === 1 && s.state === 'live' && s.painted > 20")
    assert stats["skips"] == 0
    assert player.states() == ["connecting", "live", "reconnecting", "connecting", "live"]
    sockets = player.sockets()
    assert len(sockets) == 2
    for socket in sockets:
        _check_start(socket)
    wait_until(lambda: len(relay.ready_rows()) == 4, "the worker's successor")


def test_killed_publisher_costs_no_connection(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """The page's socket stays open over the publisher's death and its successor's start."""
    first = publish("demo", "cam0", *SMALL)
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/cam0"))
    before = player.wait_live()
    first.kill()
    player.wait("s.state === 'ended'")
    assert "Playback resumes" in player.words()
    publish("demo", "cam0", *SMALL)
    stats = player.wait(f"s.state === 'live' && s.epoch > {before['epoch']} && s.painted > 20")
    assert (stats["skips"], stats["reconnects"]) == (0, 0)
    states = player.states()
    assert states == ["connecting", "live", "ended", "connecting", "live"]
    (socket,) = player.sockets()
    _check_start(socket)
    assert socket.close is None
    assert not relay.errors()


def test_page_that_waits_gets_the_first_publisher(
    relay: RelayProcess, publish: Publish, open_page: OpenPage
) -> None:
    """Who comes before the publisher waits, and plays as soon as there is one."""
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/cam0"))
    player.wait("s.state === 'waiting'")
    assert "Waiting for a publisher" in player.words()
    publish("demo", "cam0", *SMALL)
    stats = player.wait_live()
    assert stats["reconnects"] == 0
    assert player.states() == ["connecting", "waiting", "connecting", "live"]


def _check_start(socket: Socket) -> None:
    """Each hello is followed by a key frame."""
    for index, message in enumerate(socket.received):
        if isinstance(message, dict) and message["type"] == "hello":
            frames = [each for each in socket.received[index:] if not isinstance(each, dict)]
            assert frames, "nothing followed the hello"
            assert frames[0].key, f"frame {frames[0].seq} follows the hello"


def _worker_of_the_only_viewer(relay: RelayProcess) -> int:
    (pid,) = [row[Column.PID] for row in relay.rows() if row[Column.VIEWERS]]
    return pid
