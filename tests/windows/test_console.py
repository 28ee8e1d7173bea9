"""Whatever a console tells a relay, or whoever stands for one: it stops in order.

What is typed in a console reaches all processes in it, and its end all of them in turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.crowd import Crowd
from tests.e2e.waiting import run, until
from tests.windows.conftest import StartRelay
from tests.windows.pythons import WindowsPython
from tests.windows.windows_relay import WindowsRelay

VIEWERS: Final = 10
GUEST: Final = "tests.windows.guests.console"

in_place_of_a_console = pytest.mark.skipif(
    sys.platform == "win32", reason="optional: there is a console, which every test's end uses"
)


def drains(relay: WindowsRelay, tell: Callable[[], Any]) -> Any:
    """Every viewer is told to come back, and the relay ends with 0; the answer of ``tell``."""

    async def scenario() -> Any:
        async with Crowd.of(VIEWERS, relay.address, "nothing") as crowd:
            for viewer in crowd.viewers:
                viewer.faithful = False
            await crowd.arrive()
            answer = await asyncio.to_thread(tell)
            await until(lambda: all(each.visit.closed for each in crowd.viewers), "the end")
            assert {each.visit.code for each in crowd.viewers} == {1012}
            return answer

    answer = run(scenario())
    assert relay.wait() == 0
    assert len(relay.log_lines("drained and left")) == 2
    assert not relay.log_lines("WARNING")
    assert not relay.errors()
    return answer


@in_place_of_a_console
def test_control_break(start_relay: StartRelay, windows: WindowsPython) -> None:
    relay = start_relay(workers=2)
    pids = relay.pids_there()
    drains(relay, lambda: windows.call(f"{GUEST}:press_break", pids))
    assert relay.log_lines("SIGBREAK: stopping")


@in_place_of_a_console
def test_control_c_disturbs_no_other_wait(windows: WindowsPython) -> None:
    assert windows.call(f"{GUEST}:press_while_waiting") == ["SIGINT"]


@in_place_of_a_console
def test_its_end(start_relay: StartRelay, windows: WindowsPython) -> None:
    """The workers hear of it first, and each must be gone before the next one is told."""
    relay = start_relay(workers=2)
    pids = relay.pids_there()
    left = drains(relay, lambda: windows.call(f"{GUEST}:close", pids))
    assert left == []
    assert relay.log_lines("end of the session: stopping")


def test_a_service_is_stopped(start_relay: StartRelay, tmp_path: Path, instance: str) -> None:
    """The definition's own command line, in a console that nobody sees."""
    config = f'[server]\nport = 0\nworkers = 2\ninstance = "{instance}"\n'
    (tmp_path / "relay.toml").write_text(config)
    relay = start_relay(service=tmp_path)
    drains(relay, relay.interrupt)
    assert relay.log_lines("SIGINT: stopping")
