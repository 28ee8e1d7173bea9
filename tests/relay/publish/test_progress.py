"""Status lines, and how a terminal and a log get them."""

from __future__ import annotations

import io

from relay.publish.model import StreamInfo
from relay.publish.progress import Console, Progress
from relay.publish.tally import Tally
from tests.relay.publish.fakes import FakeSink


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rates_are_those_since_the_last_line() -> None:
    sink, tally = FakeSink(), Tally()
    progress = Progress("demo", tally, sink, 10.0)
    tally.info = StreamInfo("avc1.42c01f", 1280, 720, 30)
    tally.frames, tally.bytes, tally.key_frames = 30, 250_000, 1
    assert progress.line(11.0) == (
        "demo 1280x720 h264 30.0 fps 2.0 Mbit/s key 1 dropped 0 reconnects 0"
    )
    tally.frames, sink.dropped, sink.reconnects = 90, 4, 1
    assert progress.line(16.0) == (
        "demo 1280x720 h264 12.0 fps 0.0 Mbit/s key 1 dropped 4 reconnects 1"
    )
    assert progress.summary(20.0) == (
        "demo: 90 frames (1280x720 h264), 0.2 MB in 10.0 s, key 1 dropped 4 reconnects 1"
    )


def test_before_the_first_frame() -> None:
    progress = Progress("demo", Tally(), FakeSink(), 0.0)
    assert progress.line(1.0) == "demo waiting for the first frame"
    assert progress.summary(2.0) == "demo: nothing was published in 2.0 s"


def test_a_log_gets_whole_lines() -> None:
    out = io.StringIO()
    console = Console(out=out)
    console.status("one")
    console.status("two")
    console.notice("three")
    assert out.getvalue() == "one\ntwo\nthree\n"


def test_a_terminal_gets_one_line_rewritten() -> None:
    out = Terminal()
    console = Console(out=out)
    console.status("long line")
    console.status("short")
    console.notice("event")
    erased = "\r" + " " * 9 + "\r"
    assert out.getvalue() == f"long line{erased}short\r     \revent\n"
    assert console.interval_s < Console(out=io.StringIO()).interval_s


def test_quiet_prints_errors_only() -> None:
    out = io.StringIO()
    console = Console(quiet=True, out=out)
    console.status("s")
    console.notice("n")
    console.error("e")
    assert out.getvalue() == "e\n"


def test_a_closed_terminal_is_no_error() -> None:
    out = io.StringIO()
    console = Console(out=out)
    out.close()
    console.error("nobody reads this")
