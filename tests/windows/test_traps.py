"""Controls: the traps that the Windows parts of this project go around are real.

The day one of these fails, CPython has mended something, and code of ours may go.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.platforms import RESET
from tests.windows.pythons import Guest, WindowsPython

GUESTS = "tests.windows.guests.listeners"
SECOND_PORT_ASSOCIATION = 87  # ERROR_INVALID_PARAMETER


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def greeting(port: int) -> bytes:
    """What a client hears; empty when nobody serves it."""
    with connect(port) as client, client.makefile("rb") as heard:
        return heard.read()


def reset(port: int) -> None:
    """Connect and leave without a goodbye."""
    client = connect(port)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


@contextlib.contextmanager
def sharing(windows: WindowsPython, how: str, takers: int) -> Iterator[tuple[int, list[Guest]]]:
    """Guests on one listener, its owner first; each serves until a line is sent to it."""
    with contextlib.ExitStack() as stack:
        owner = stack.enter_context(windows.start(f"{GUESTS}:serve_with_{how}", takers))
        port = int(owner.line())
        others = [
            stack.enter_context(windows.start(f"{GUESTS}:serve_a_duplicate_with_{how}"))
            for _ in range(takers)
        ]
        duplicates = []
        for other in others:
            owner.send(other.line())
            duplicates.append(owner.line())
        assert owner.line() == "serving"
        for other, duplicate in zip(others, duplicates, strict=True):
            other.send(duplicate)
            assert other.line() == "serving"
        yield port, [owner, *others]


def test_asyncio_cannot_serve_one_listener_in_two_processes(windows: WindowsPython) -> None:
    with sharing(windows, "asyncio", 1) as (port, (first, second)):
        assert greeting(port) == b"hello\n"
        for guest in (second, first):
            guest.send("stop")
        assert second.finish().result == [SECOND_PORT_ASSOCIATION]
        assert first.finish().result == []


def test_asyncio_stops_accepting_in_a_reset_storm(windows: WindowsPython) -> None:
    with sharing(windows, "asyncio", 0) as (port, (guest,)):
        with pytest.raises(ConnectionError):
            for _ in range(500):
                reset(port)
            greeting(port)
        guest.send("stop")
        assert guest.finish().result


def test_accepting_with_events_survives_a_reset_storm(windows: WindowsPython) -> None:
    with sharing(windows, "events", 0) as (port, (guest,)):
        for _ in range(500):
            reset(port)
        assert greeting(port) == b"hello\n"
        guest.send("stop")
        counts = guest.finish().result
        assert counts["accepted"] + counts["errors"] == 501
        assert counts["cancelled"] == 1


def test_three_processes_accept_with_events(windows: WindowsPython) -> None:
    with sharing(windows, "events", 2) as (port, guests):
        for _ in range(30):
            assert greeting(port) == b"hello\n"
        for guest in guests:
            guest.send("stop")
        counts = [guest.finish().result for guest in guests]
    assert sum(count["accepted"] for count in counts) == 30
    assert min(count["accepted"] for count in counts) >= 8
    assert [count["errors"] for count in counts] == [0, 0, 0]
    assert [count["cancelled"] for count in counts] == [1, 1, 1]
