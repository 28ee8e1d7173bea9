"""The viewers of a worker in shared memory: what is written is what others read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bus.names import viewers_object
from bus.reclaim import reclaim
from bus.segment import list_objects
from workers.viewer import SkipCause
from workers.viewer_id import ViewerId
from workers.viewer_table import ViewerTable, read_viewers

PID = os.getpid()


@pytest.fixture
def table(instance: str) -> Iterator[ViewerTable]:
    table = ViewerTable(instance, PID, 3)
    yield table
    table.close()


def test_what_is_written_is_read(instance: str, table: ViewerTable) -> None:
    entry = table.join(7, "s" * 64, "2001:db8::1")
    table.join(8, "a", "192.0.2.1")
    entry.skip(SkipCause.DECODER, 2)
    entry.skip(SkipCause.DECODER, 3)
    entry.behind(1.5)
    seven, eight = read_viewers(instance, PID)
    assert (seven.number, seven.stream, seven.address) == (7, "s" * 64, "2001:db8::1")
    assert seven.lag == 1.5 and 0 < seven.since <= eight.since
    assert seven.skipped == {cause: 5 * (cause is SkipCause.DECODER) for cause in SkipCause}
    assert (eight.number, eight.stream, eight.address, eight.lag) == (8, "a", "192.0.2.1", 0.0)


def test_a_row_is_used_again_without_traces(instance: str, table: ViewerTable) -> None:
    for number in range(1, 100):
        entry = table.join(number, f"stream{number}", "192.0.2.1")
        assert [row.number for row in read_viewers(instance, PID)] == [number]
        entry.skip(SkipCause.NETWORK, number)
        entry.behind(number)
        table.leave(entry)
        assert read_viewers(instance, PID) == []
    table.join(100, "x", "not an address")
    (row,) = read_viewers(instance, PID)
    assert (row.stream, row.lag, row.address) == ("x", 0.0, "::")
    assert not any(row.skipped.values())


def test_a_row_that_changes_hands_meanwhile_is_left_out(instance: str, table: ViewerTable) -> None:
    entry = table.join(1, "a", "192.0.2.1")
    words = table._words

    class Racing:
        """Shared memory in which another viewer comes just after the first look."""

        looked = 0

        def __getitem__(self, at: int | slice) -> object:
            if isinstance(at, slice):
                table.leave(entry)
                table.join(2, "b", "192.0.2.2")
            return words[at]

    from workers.viewer_table import _rows

    assert list(_rows(Racing(), 1)) == []  # type: ignore[arg-type]
    assert [row.stream for row in read_viewers(instance, PID)] == ["b"]


def test_nobody_is_there(instance: str) -> None:
    assert read_viewers(instance, PID) == []


def test_it_goes_with_its_worker(instance: str) -> None:
    name = viewers_object(instance, PID)
    table = ViewerTable(instance, PID, 3)
    reclaim(instance)
    assert list_objects(name) == [name], "its owner lives"
    table.close()
    assert list_objects(name) == []
    reclaim(instance)


@pytest.mark.parametrize("text", ["", "1.2", "1.2.3.4", "1.2.x", "-1.2.3", "1.2.3\n", "٣.1.1"])
def test_what_is_no_id(text: str) -> None:
    assert ViewerId.parse(text) is None


def test_an_id_is_its_text() -> None:
    assert ViewerId.parse(str(ViewerId(2, 1, 57))) == ViewerId(2, 1, 57)
