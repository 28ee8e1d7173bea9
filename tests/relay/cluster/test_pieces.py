"""Splitting frames and joining them again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.cluster.pieces import Joiner, NumberedFrame, Piece, split


def frame(number: int, size: int) -> NumberedFrame:
    return NumberedFrame(9, number, True, bytes(each % 251 for each in range(size)))


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000])
def test_a_frame_comes_back_as_it_was(size: int) -> None:
    sent = frame(3, size)
    pieces = list(split(sent, 100, 7))
    assert all(len(each.data) <= 100 for each in pieces)
    joiner = Joiner(10_000)
    assert [joiner.add(each) for each in pieces] == [None] * (len(pieces) - 1) + [sent]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_frame_with_a_missing_piece_is_dropped_and_the_next_one_is_not(missing: int) -> None:
    joiner = Joiner(10_000)
    pieces = list(split(frame(0, 300), 100, 0))
    del pieces[missing]
    following = list(split(frame(1, 250), 100, 0))
    got = [joiner.add(each) for each in pieces + following]
    assert [each.number for each in got if each] == [1]
    assert joiner.incomplete == 1


def test_a_changed_byte_drops_the_frame() -> None:
    joiner = Joiner(10_000)
    first, second = split(frame(0, 200), 100, 0)
    joiner.add(first)
    assert joiner.add(replace(second, data=bytes(100))) is None
    assert joiner.corrupt == 1


def test_a_frame_above_the_limit_is_not_kept() -> None:
    joiner = Joiner(250)
    assert [joiner.add(each) for each in split(frame(0, 1000), 100, 0)] == [None] * 10
    assert joiner._size <= 250


def test_a_count_that_lies_joins_nothing() -> None:
    joiner = Joiner(1000)
    assert joiner.add(Piece(1, 1, False, 0, 10**9, 0, 0, b"x")) is None
    assert joiner.add(Piece(1, 2, False, 5, 2, 0, 0, b"x")) is None
