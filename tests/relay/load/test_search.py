"""The search finds a known limit."""

from __future__ import annotations

import pytest

from relay.load.search import LevelSearch


def searched(first: int, most: int, limit: int) -> tuple[LevelSearch, list[int]]:
    search, tried = LevelSearch(first, most), []
    while (level := search.next) is not None:
        tried.append(level)
        search.note(level, held=level <= limit)
    return search, tried


@pytest.mark.parametrize("limit", [1, 2, 7, 99, 100, 101, 640, 12_345])
@pytest.mark.parametrize("first", [1, 50, 1000])
def test_finds_the_limit(first: int, limit: int) -> None:
    search, tried = searched(first, 100_000, limit)
    assert limit - max(1, limit * 0.06) < search.best <= limit
    assert len(tried) < 30
    assert len(set(tried)) == len(tried)


def test_nothing_breaks() -> None:
    search, tried = searched(100, 700, 10_000)
    assert tried == [100, 200, 400, 700]
    assert (search.best, search.broke) == (700, None)


def test_nothing_holds() -> None:
    search, tried = searched(100, 1000, 0)
    assert search.best == 0
    assert tried[-1] == 1
