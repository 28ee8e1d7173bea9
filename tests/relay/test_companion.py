"""Programs beside the workers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import wait

import psutil
import pytest

from relay.companion import BACKOFF, BACKOFF_MAX, GRACE, STABLE, Companion
from tests.platforms import posix_only

WATCHDOG = 60.0
FOREVER = "import threading; print('up', flush=True); threading.Event().wait()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}"


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_end(companion: Companion) -> None:
    assert wait([companion.sentinel], WATCHDOG)


@pytest.fixture
def forever() -> Iterator[Companion]:
    companion = Companion("the test", program(FOREVER))
    companion.start(0.0)
    yield companion
    if companion.running:
        companion.kill()
        wait_end(companion)
        companion.ended(0.0)


def test_is_restarted_with_backoff() -> None:
    companion = Companion("the test", program("raise SystemExit(3)"))
    now = 100.0
    found: list[float] = []
    for _ in range(8):
        companion.start(now)
        assert companion.restart_at is None
        wait_end(companion)
        words = companion.ended(now)
        assert words.startswith("the test exited with code 3; starting it again in")
        assert companion.restart_at is not None
        found.append(companion.restart_at - now)
    assert found == [BACKOFF, 1.0, 2.0, 4.0, 8.0, 16.0, BACKOFF_MAX, BACKOFF_MAX]
    companion.start(now)
    wait_end(companion)
    companion.ended(now + STABLE)
    assert companion.restart_at == now + STABLE + BACKOFF


def test_stops_when_asked_and_is_not_restarted(forever: Companion) -> None:
    forever.stop(10.0)
    assert forever.kill_at == 10.0 + GRACE
    wait_end(forever)
    assert forever.ended(11.0) == "the test ended"
    assert not forever.running
    assert [forever.restart_at, forever.kill_at] == [None, None]


@posix_only
def test_is_killed_when_it_does_not_hear(capfd: pytest.CaptureFixture[str]) -> None:
    companion = Companion("the test", program(DEAF))
    companion.start(0.0)
    while "up" not in capfd.readouterr().out:
        wait([companion.sentinel], 0.01)
    companion.stop(0.0)
    assert not wait([companion.sentinel], 0)
    companion.kill()
    wait_end(companion)
    companion.ended(1.0)
    assert not companion.running


@posix_only
def test_is_in_a_group_of_its_own(forever: Companion) -> None:
    (child,) = [each for each in psutil.Process().children() if FOREVER in each.cmdline()]
    assert os.getpgid(child.pid) == child.pid
    child.send_signal(signal.SIGKILL)
    wait_end(forever)
    assert "was killed by signal 9" in forever.ended(0.0)


def test_stopping_what_does_not_run_stops_its_restart() -> None:
    companion = Companion("the test", program("pass"))
    companion.start(0.0)
    wait_end(companion)
    companion.ended(0.0)
    assert companion.restart_at is not None
    companion.stop(0.0)
    assert [companion.restart_at, companion.kill_at] == [None, None]
