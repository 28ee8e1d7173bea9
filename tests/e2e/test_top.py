"""relay-top over a real relay: on a screen of 80 columns, and in a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from websockets.sync.client import ClientConnection, connect

from bus import Publisher
from relay.cli.top import look
from relay.top.client import AdminClient
from relay.top.screen import SheetTable, TopScreen
from relay.top.sheets import Rates
from tests.certificates import make_pair
from tests.e2e.conftest import StartRelay
from tests.e2e.library_client import close_of, is_open
from tests.e2e.relay_process import RelayProcess, command
from tests.e2e.waiting import until, wait_until
from workers.table import Column, WorkerTable

TOKEN = "admin-secret"
Play = Callable[["Pilot[str]"], Awaitable[None]]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "admin.token"
    file.write_text(TOKEN)
    return file


@pytest.fixture
def relay(start_relay: StartRelay, token_file: Path) -> RelayProcess:
    return start_relay("--admin-token-file", str(token_file), workers=2)


@pytest.fixture
def crowd(relay: RelayProcess) -> Iterator[list[ClientConnection]]:
    """Viewers of cam0 and of cam1, four each."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(connect(f"ws://127.0.0.1:{relay.port}/view/cam{number % 2}"))
            for number in range(8)
        ]
        for client in clients:
            client.recv()
        yield clients


def play(relay: RelayProcess, script: Play, token: str = TOKEN) -> TopScreen:
    """Run the screen with somebody at its keys."""
    table = WorkerTable.attach(relay.instance)
    rates = Rates()

    def now() -> Any:
        return look(relay.instance, table, rates) if table.supervisor_alive() else None

    app = TopScreen(now, AdminClient(table.url, token))

    async def run() -> None:
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await script(pilot)

    try:
        asyncio.run(run())
    finally:
        table.close()
    return app


def table_of(pilot: Pilot[str], name: str) -> SheetTable:
    return pilot.app.query_one(f"#{name}", SheetTable)


def screen(pilot: Pilot[str]) -> str:
    """What is on the screen, as text."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


def told(pilot: Pilot[str]) -> str:
    """Messages that are shown; on the screen they are broken into lines."""
    return " ".join(each.message for each in pilot.app._notifications)


def test_workers_streams_and_viewers_at_80_columns(
    relay: RelayProcess, crowd: list[ClientConnection]
) -> None:
    async def script(pilot: Pilot[str]) -> None:
        text = screen(pilot)
        assert f"{relay.instance}: 2 workers" in text and "1 stream" in text and "8 viewers" in text
        assert {line.rstrip()[-4:] for line in text.splitlines() if "lag ms" in line} == {"work"}
        assert len(table_of(pilot, "viewers").keys) == 8
        await pilot.press("slash", *"cam1")
        assert len(table_of(pilot, "viewers").keys) == 4
        assert len(table_of(pilot, "workers").keys) == 2
        assert "8 viewers, 4 with 'cam1'" in screen(pilot)
        await pilot.press("escape", "o")
        before = table_of(pilot, "viewers").keys
        for _ in range(5):
            await pilot.press("s")
        # Round to the first column: by name.
        assert table_of(pilot, "viewers").keys == sorted(before)
        await pilot.press("o")
        assert table_of(pilot, "viewers").keys == sorted(before, reverse=True)

    with Publisher("cam0", codec="mjpeg", instance=relay.instance):
        play(relay, script)


def test_a_viewer_is_kicked_after_a_question(
    relay: RelayProcess, crowd: list[ClientConnection]
) -> None:
    async def script(pilot: Pilot[str]) -> None:
        victim = table_of(pilot, "viewers").chosen
        await pilot.press("k")
        assert f"Kick viewer {victim}?" in screen(pilot)
        await pilot.press("n")
        await pilot.press("k", "y")
        await until(lambda: len(table_of(pilot, "viewers").keys) == 7, "one less")
        assert victim not in table_of(pilot, "viewers").keys

    play(relay, script)
    (gone,) = [client for client in crowd if not is_open(client)]
    assert close_of(gone) == (1008, "closed by the operator")


def test_workers_are_drained_and_come_back(relay: RelayProcess) -> None:
    async def script(pilot: Pilot[str]) -> None:
        workers = table_of(pilot, "workers")
        workers.focus()
        await pilot.press("d", "y")
        await until(lambda: workers.keys == ["1"], "worker 0 to leave")
        await pilot.press("d", "y")
        await until(lambda: "no other worker serves" in told(pilot), "the refusal")
        await pilot.press("r", "y")
        await until(lambda: generations(relay) == {1: 2}, "a new worker 1")

    play(relay, script)


def generations(relay: RelayProcess) -> dict[int, int]:
    return {row[Column.SLOT]: row[Column.GENERATION] for row in relay.ready_rows()}


def test_without_the_token_it_only_looks(
    relay: RelayProcess, crowd: list[ClientConnection]
) -> None:
    async def script(pilot: Pilot[str]) -> None:
        await pilot.press("k", "y")
        await until(lambda: "--admin-token-file" in told(pilot), "the remedy")
        assert len(table_of(pilot, "viewers").keys) == 8

    play(relay, script, token="")


def test_it_ends_with_the_relay(relay: RelayProcess) -> None:
    async def script(pilot: Pilot[str]) -> None:
        await asyncio.to_thread(relay.stop)
        await until(lambda: not pilot.app.is_running or pilot.app._exit, "the end")

    assert play(relay, script).return_value == "the relay has stopped"


def test_it_acts_on_a_relay_with_tls(
    start_relay: StartRelay, token_file: Path, tmp_path: Path
) -> None:
    relay = start_relay(
        *make_pair(tmp_path).flags, "--admin-token-file", str(token_file), workers=1
    )
    table = WorkerTable.attach(relay.instance)
    client = AdminClient(table.url, TOKEN)
    table.close()
    assert client.ask("workers/7/restart") == "workers are 0 to 0"
    assert client.ask("workers/0/restart") == ""
    wait_until(lambda: generations(relay) == {0: 2}, "a new worker")
    assert relay.stop() == 0
    assert "does not answer" in client.ask("reload")


def test_in_a_terminal(relay: RelayProcess, token_file: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(
            "relay.cli.top",
            *("--instance", relay.instance, "--admin-token-file", str(token_file)),
        ),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
    )
    os.close(theirs)
    seen = b""
    try:
        while b"viewers" not in seen:
            seen += os.read(ours, 4096)
        os.write(ours, b"q")
        try:
            while os.read(ours, 4096):
                pass
        except OSError:
            # How a terminal tells that its last program has ended.
            pass
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
