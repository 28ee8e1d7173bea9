"""When an encoder makes a key frame."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from relay.publish.sources.key_gate import MIN_REQUEST_INTERVAL_US, KeyGate

GOP_US = 2_000_000
STEP_US = 40_000


def test_the_first_frame_is_one() -> None:
    assert KeyGate(GOP_US).due(0)


def test_a_group_of_pictures_is_bounded() -> None:
    gate = KeyGate(GOP_US)
    gate.made(0)
    assert not gate.due(GOP_US - 1)
    assert gate.due(GOP_US)


def test_a_request_is_answered_once() -> None:
    gate = KeyGate(GOP_US)
    gate.made(0)
    gate.request()
    assert gate.due(MIN_REQUEST_INTERVAL_US)
    gate.made(MIN_REQUEST_INTERVAL_US)
    assert not gate.due(2 * MIN_REQUEST_INTERVAL_US)


def test_an_early_request_is_kept_until_it_may_be_answered() -> None:
    gate = KeyGate(GOP_US)
    gate.made(0)
    gate.request()
    assert not gate.due(MIN_REQUEST_INTERVAL_US - 1)
    assert gate.due(MIN_REQUEST_INTERVAL_US)


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_key_frames_are_neither_too_near_nor_too_far(requests: list[bool]) -> None:
    gate, keys = KeyGate(GOP_US), []
    for number, requested in enumerate(requests):
        if requested:
            gate.request()
        if gate.due(number * STEP_US):
            gate.made(number * STEP_US)
            keys.append(number * STEP_US)
    gaps = [after - before for before, after in pairwise(keys)]
    assert all(MIN_REQUEST_INTERVAL_US <= gap < GOP_US + STEP_US for gap in gaps)
