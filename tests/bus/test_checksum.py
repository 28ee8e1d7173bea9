"""Processes of one host may have different implementations: their sums are the same."""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import checksum

Crc32 = Callable[[bytes, int], int]


@pytest.fixture
def without_zlib_ng(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crc32]:
    """What is used where it is not installed."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "zlib_ng", None)
        patch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
        yield importlib.reload(checksum).crc32
    importlib.reload(checksum)


@given(st.binary(max_size=1000), st.integers(0, 2**32 - 1))
def test_sums_are_those_of_zlib(data: bytes, start: int) -> None:
    assert checksum.crc32(data, start) == zlib.crc32(data, start)
    assert checksum.crc32(memoryview(bytearray(data)), start) == zlib.crc32(data, start)


def test_zlib_does_where_nothing_else_is_installed(without_zlib_ng: Crc32) -> None:
    assert without_zlib_ng is zlib.crc32
