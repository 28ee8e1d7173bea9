"""The fixture itself: what runs is really a Windows Python, and what it says arrives."""

from __future__ import annotations

import pytest

from tests.windows.pythons import WindowsPython

GUEST = "tests.windows.guests.speaking"


def test_it_is_a_windows_python(windows: WindowsPython) -> None:
    facts = windows.call(f"{GUEST}:facts")
    assert facts["platform"] == "win32"
    assert facts["loop"] == "ProactorEventLoop"
    assert facts["imported_from"] == facts["root"]


def test_arguments_and_result(windows: WindowsPython) -> None:
    told = ["a b", '"quoted"', {"ü": [1, 2.5, None]}]
    assert windows.call(f"{GUEST}:echo", *told) == told


def test_a_guest_is_spoken_to_line_by_line(windows: WindowsPython) -> None:
    with windows.start(f"{GUEST}:shout") as guest:
        guest.send("hello")
        assert guest.line() == "HELLO"
        guest.send("there")
        assert guest.line() == "THERE"
        outcome = guest.finish()
        assert outcome.result == 2
        assert "complaint" in outcome.stderr


def test_an_error_arrives_with_its_traceback(windows: WindowsPython) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        windows.call(f"{GUEST}:fail")


def test_a_guest_that_hangs_is_killed_and_tells_where_it_hung(windows: WindowsPython) -> None:
    with pytest.raises(AssertionError, match="in hang"):
        windows.call(f"{GUEST}:hang", patience=5.0)
