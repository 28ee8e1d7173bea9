"""The demo publisher, played by other programs."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator

import psutil
import pytest

from relay.demo_process import BACKOFF, BACKOFF_MAX, GRACE, STABLE, DemoProcess

WATCHDOG = 60.0
FOREVER = "import signal; print('up', flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}"


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_end(demo: DemoProcess) -> None:
    assert select.select([demo.sentinel], [], [], WATCHDOG)[0]


@pytest.fixture
def forever() -> Iterator[DemoProcess]:
    demo = DemoProcess("test", program(FOREVER))
    demo.start(0.0)
    yield demo
    if demo.running:
        demo.kill()
        wait_end(demo)
        demo.ended(0.0)


def test_runs_the_publisher_of_the_relay() -> None:
    command = " ".join(DemoProcess("lab")._command)
    assert "-m relay.publish demo --stream demo --instance lab" in command
    assert "--exit-with-parent" in command


def test_is_restarted_with_backoff() -> None:
    demo = DemoProcess("test", program("raise SystemExit(3)"))
    now = 100.0
    found: list[float] = []
    for _ in range(7):
        demo.start(now)
        assert demo.restart_at is None
        wait_end(demo)
        words = demo.ended(now)
        assert words.startswith("the demo publisher exited with code 3; starting it again in")
        assert demo.restart_at is not None
        found.append(demo.restart_at - now)
    assert found == [BACKOFF, 2.0, 4.0, 8.0, 16.0, BACKOFF_MAX, BACKOFF_MAX]
    demo.start(now)
    wait_end(demo)
    demo.ended(now + STABLE)
    assert demo.restart_at == now + STABLE + BACKOFF


def test_stops_when_asked_and_is_not_restarted(forever: DemoProcess) -> None:
    forever.stop(10.0)
    assert forever.kill_at == 10.0 + GRACE
    wait_end(forever)
    assert forever.ended(11.0) == "the demo publisher ended"
    assert not forever.running
    assert [forever.restart_at, forever.kill_at] == [None, None]


def test_is_killed_when_it_does_not_hear(capfd: pytest.CaptureFixture[str]) -> None:
    demo = DemoProcess("test", program(DEAF))
    demo.start(0.0)
    while "up" not in capfd.readouterr().out:
        select.select([demo.sentinel], [], [], 0.01)
    demo.stop(0.0)
    assert not select.select([demo.sentinel], [], [], 0)[0]
    demo.kill()
    wait_end(demo)
    demo.ended(1.0)
    assert not demo.running


def test_is_in_a_group_of_its_own(forever: DemoProcess) -> None:
    (child,) = [each for each in psutil.Process().children() if FOREVER in each.cmdline()]
    assert os.getpgid(child.pid) == child.pid
    child.send_signal(signal.SIGKILL)
    wait_end(forever)
    assert "was killed by signal 9" in forever.ended(0.0)


def test_stopping_what_does_not_run_stops_its_restart() -> None:
    demo = DemoProcess("test", program("pass"))
    demo.start(0.0)
    wait_end(demo)
    demo.ended(0.0)
    assert demo.restart_at is not None
    demo.stop(0.0)
    assert [demo.restart_at, demo.kill_at] == [None, None]
