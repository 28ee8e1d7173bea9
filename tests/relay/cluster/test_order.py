"""The order of frames that come on two subjects, some of them twice or not at all."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from relay.cluster.order import HELD_BYTES, FrameOrder
from relay.cluster.pieces import NumberedFrame

RUN = 5


def frame(number: int, *, key: bool = False, run: int = RUN, size: int = 1) -> NumberedFrame:
    return NumberedFrame(run, number, key, bytes(size))


def begun() -> FrameOrder:
    order = FrameOrder()
    order.begin(RUN)
    return order


def feed(order: FrameOrder, *frames: NumberedFrame) -> list[int]:
    return [passed.number for each in frames for passed in order.add(each)]


def test_a_key_frame_begins_and_deltas_follow() -> None:
    order = begun()
    assert feed(order, frame(6), frame(7, key=True), frame(8), frame(9)) == [7, 8, 9]
    assert order.lost == 0


def test_nothing_follows_a_gap_but_a_key_frame() -> None:
    order = begun()
    passed = feed(order, frame(0, key=True), frame(2), frame(3), frame(5, key=True), frame(6))
    assert passed == [0, 5, 6]
    assert order.lost == 4
    assert not order.needs_key


def test_live_frames_wait_for_the_group_before_them() -> None:
    order = begun()
    assert feed(order, frame(12), frame(13)) == []
    assert order.needs_key
    replay = [frame(10, key=True), frame(11), frame(12), frame(13)]
    assert feed(order, *replay, frame(14)) == [10, 11, 12, 13, 14]
    assert order.lost == 0


def test_what_came_twice_is_passed_on_once() -> None:
    order = begun()
    assert feed(order, frame(3, key=True), frame(4), frame(3, key=True), frame(4)) == [3, 4]


def test_frames_of_another_run_are_nobodys() -> None:
    order = begun()
    assert feed(order, frame(0, key=True, run=RUN - 1)) == []
    order.begin(RUN + 1)
    assert feed(order, frame(0, key=True), frame(0, key=True, run=RUN + 1)) == [0]


def test_held_frames_are_bounded() -> None:
    order = begun()
    for number in range(1, 50):
        order.add(frame(number, size=HELD_BYTES // 10))
    assert sum(len(each.envelope) for each in order._held.values()) <= HELD_BYTES


@given(st.integers(), st.lists(st.integers(0, 40), max_size=80))
def test_whatever_comes_in_whatever_order_a_decoder_can_follow(
    seed: int, arrivals: list[int]
) -> None:
    keys = set(random.Random(seed).sample(range(41), 8))
    order = begun()
    passed = feed(order, *(frame(number, key=number in keys) for number in arrivals))
    assert passed == sorted(set(passed))
    for before, number in zip([None, *passed], passed, strict=False):
        assert number in keys or number - 1 == before
