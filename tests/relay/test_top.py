"""relay-top."""

from __future__ import annotations

import os

import pytest
from rich.console import Console

from bus import Publisher
from bus.reclaim import reclaim
from relay.cli.top import main
from relay.top.sheets import Rates, as_table, scaled, streams_sheet, viewers_sheet, workers_sheet
from relay.viewers import Viewer
from tests.platforms import posix_only
from tests.relay.factories import stream_info, worker_stats
from workers.table import Column, WorkerState, WorkerTable
from workers.viewer import SkipCause
from workers.viewer_id import ViewerId
from workers.viewer_table import ViewerRow


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
        text = shown(as_table(workers_sheet("lab", 99, [row], Rates())))
        assert "lab: 1 worker (asyncio), 250 viewers, supervisor 99" in text
        assert text.splitlines()[-1].split() == [
            *("3", "123456", "ready", "250", "0", "-", "-", "1.5k/0/0/4", "56%", "45.0MB", "2")
        ]

    def test_streams(self) -> None:
        text = shown(
            as_table(streams_sheet([stream_info(), stream_info("b", metadata=None)])), width=100
        )
        lines = [line.split() for line in text.splitlines()]
        assert lines[0] == ["2", "streams"]
        assert lines[-1] == ["b", "live", "-", "-", "-", "3", "25.0", "400k", "4", "2"]
        assert "640x480" in text
        assert "ws 192.0.2.1" in text

    def test_viewers_fit_into_80_columns(self) -> None:
        row = ViewerRow(
            123456,
            "s" * 64,
            "2001:db8::1234:5678:9abc:def0",
            1000.0,
            12.5,
            dict.fromkeys(SkipCause, 1_234_567),
        )
        sheet = viewers_sheet([Viewer(ViewerId(12, 34, 123456), row)], 1000.0 + 90_000)
        line = shown(as_table(sheet)).splitlines()[-1]
        assert len(line.rstrip()) <= 80
        assert line.split()[0] == "12.34.123456" and "25h" in line and "12500" in line
        assert line.split()[-4:] == ["1.2M"] * 4

    def test_sorting_and_filtering(self) -> None:
        rows = [
            ViewerRow(n, stream, "192.0.2.1", 0.0, lag, dict.fromkeys(SkipCause, 0))
            for n, stream, lag in ((2, "b", 0.5), (10, "a", 2.0), (1, "a", 1.0))
        ]
        sheet = viewers_sheet([Viewer(ViewerId(0, 1, row.number), row) for row in rows], 5.0)
        by_name = [line.key for line in sheet.arranged(0, reverse=False)]
        assert by_name == ["0.1.1", "0.1.2", "0.1.10"], "numbers, not texts"
        lag = sheet.columns.index("lag ms")
        assert [line.key for line in sheet.arranged(lag, reverse=True, wanted="A")] == [
            "0.1.10",
            "0.1.1",
        ]

    def test_rates_come_from_two_looks(self) -> None:
        rates = Rates()
        rates.update([worker_stats({"pid": 1, "frames_sent": 100, "bytes_sent": 1000})], 10.0)
        assert rates.of(1) is None
        rates.update([worker_stats({"pid": 1, "frames_sent": 150, "bytes_sent": 251_000})], 12.0)
        assert rates.of(1) == (25.0, 1_000_000.0)
        assert rates.of(2) is None

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

    @posix_only
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

    def test_no_terminal(self, instance: str, capsys: pytest.CaptureFixture[str]) -> None:
        table = WorkerTable.create(instance, 4, os.getpid())
        try:
            assert main(["--instance", instance]) == 2
        finally:
            table.unlink()
            table.close()
        assert capsys.readouterr().err == "relay-top: this is no terminal; use --once\n"

    def test_a_token_file_that_is_not_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--admin-token-file", "/nowhere/x"]) == 2
        assert "token file '/nowhere/x' cannot be read" in capsys.readouterr().err

    def test_a_name_that_cannot_be(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--instance", "a/b", "--once"]) == 2
        assert capsys.readouterr().err.startswith("relay-top: invalid instance name 'a/b'")

    def test_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["--help"])
        assert caught.value.code == 0
        assert "Examples:" in capsys.readouterr().out
