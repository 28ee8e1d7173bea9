"""relay-top."""

from __future__ import annotations

import os

import pytest
from rich.console import Console

from bus import Publisher
from bus.reclaim import reclaim
from relay.cli.top import main
from relay.top_view import Rates, scaled, streams_table, workers_table
from tests.relay.factories import stream_info, worker_stats
from workers.table import Column, WorkerState, WorkerTable


def shown(*tables: object, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(*tables)
    return capture.get()


class TestView:
    def test_workers(self) -> None:
        columns = {
            **{"slot": 3, "pid": 123456, "engine": 1, "viewers": 250, "cpu_milli": 555},
            **{"rss": 45_000_000, "restarts": 2, "skipped_network": 1500, "skipped_worker": 4},
        }
        row = worker_stats(columns)
        text = shown(workers_table("lab", 99, [row], Rates()))
        assert "lab: 1 worker (asyncio), 250 viewers, supervisor 99" in text
        assert text.splitlines()[-1].split() == [
            *("3", "123456", "ready", "250", "0", "-", "-", "1.5k/0/0/4", "56%", "45.0MB", "2")
        ]

    def test_streams(self) -> None:
        text = shown(streams_table([stream_info(), stream_info("b", metadata=None)]), width=100)
        lines = [line.split() for line in text.splitlines()]
        assert lines[0] == ["2", "streams"]
        assert lines[-2] == [
            *("b", "live", "-", "-", "-", "3", "25.0", "400k", "100", "4", "2")
        ] or lines[-1] == [*("b", "live", "-", "-", "-", "3", "25.0", "400k", "100", "4", "2")]
        assert "640x480" in text
        assert "ws 192.0.2.1" in text

    def test_rates_come_from_two_looks(self) -> None:
        rates = Rates()
        rates.update([worker_stats({"pid": 1, "frames_sent": 100, "bytes_sent": 1000})], 10.0)
        assert rates.of(1) == ("-", "-")
        rates.update([worker_stats({"pid": 1, "frames_sent": 150, "bytes_sent": 251_000})], 12.0)
        assert rates.of(1) == ("25", "1.0M")
        assert rates.of(2) == ("-", "-")

    @pytest.mark.parametrize(
        ("number", "text"),
        [
            (0, "0"),
            (999, "999"),
            (1500, "1.5k"),
            (150_000, "150k"),
            (2e6, "2.0M"),
            (3e12, "3000.0G"),
        ],
    )
    def test_scaled(self, number: float, text: str) -> None:
        assert scaled(number) == text


class TestCommand:
    def test_prints_once(self, instance: str, capsys: pytest.CaptureFixture[str]) -> None:
        table = WorkerTable.create(instance, 4, os.getpid())
        try:
            table.row(0)[Column.PID] = 4321
            table.row(0)[Column.STATE] = WorkerState.READY
            with Publisher("cam", codec="mjpeg", instance=instance):
                assert main(["--instance", instance, "--once"]) == 0
        finally:
            table.unlink()
            table.close()
            reclaim(instance)
        text = capsys.readouterr().out
        assert "4321 ready" in text
        assert "cam" in text

    def test_nobody_runs_it(self, instance: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--instance", instance]) == 1
        assert capsys.readouterr().err == (
            f"relay-top: no relay runs instance {instance!r}; start one with relay-supervisor, "
            "or name another with --instance\n"
        )

    def test_a_dead_relay_left_its_table(
        self, instance: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = WorkerTable.create(instance, 4, os.getpid())
        # The lock is the supervisor's life, and goes with its mapping.
        table.close()
        try:
            assert main(["--instance", instance]) == 1
        finally:
            table = WorkerTable.attach(instance)
            table.unlink()
            table.close()
        assert "no relay runs instance" in capsys.readouterr().err

    def test_a_name_that_cannot_be(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--instance", "a/b", "--once"]) == 2
        assert capsys.readouterr().err.startswith("relay-top: invalid instance name 'a/b'")

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["--help"])
        assert caught.value.code == 0
        assert "Examples:" in capsys.readouterr().out
