"""The frame window: indices, bounds, and what is kept for whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.frame import encode
from workers.messages import header
from workers.window import TOGETHER, FrameWindow, WindowFrame


def message(envelope: bytes) -> bytes:
    return header(len(envelope)) + envelope


def frame(number: int, *, key: bool = False, at: float = 0.0, size: int = 10) -> WindowFrame:
    return WindowFrame(message(encode(number, 0, 0, int(key), b"p" * size)), key, at, number)


class TestWindowFrame:
    """Wrapped once, for players and for raw viewers."""

    @pytest.mark.parametrize("size", [0, 1, 255, 256, 65535, 65536])
    def test_raw_is_header_and_payload(self, size: int) -> None:
        envelope = encode(2**63, -(2**60), 2**62, 3, b"r" * size)
        one = WindowFrame(message(envelope), True, 0.0, 0)
        assert one.raw == header(size) + b"r" * size

    def test_raw_is_made_once(self) -> None:
        one = frame(1)
        assert one.raw is one.raw


class TestFrameWindow:
    """What is held."""

    def test_indices_grow_and_find_their_frames(self) -> None:
        window = FrameWindow(10_000, 1.0)
        frames = [frame(number, key=number == 2) for number in range(5)]
        for one in frames:
            window.append(one)
        assert (window.base, window.edge, window.latest_key, len(window)) == (0, 5, 2, 5)
        assert [window[index] for index in range(5)] == frames

    def test_frames_older_than_the_newest_key_frame_expire(self) -> None:
        window = FrameWindow(10_000, 1.0)
        window.append(frame(0, key=True, at=0.0))
        window.append(frame(1, at=5.0))
        window.append(frame(2, key=True, at=5.5))
        assert (window.base, window.latest_key) == (1, 2)
        window.append(frame(3, at=6.2))
        assert (window.base, window.latest_key) == (2, 2)

    def test_the_group_of_the_newest_key_frame_stays_however_old(self) -> None:
        window = FrameWindow(10_000, 1.0)
        window.append(frame(0, key=True, at=0.0))
        for second in range(1, 50):
            window.append(frame(second, at=float(second)))
        assert (window.base, window.edge, window.latest_key) == (0, 50, 0)

    def test_bytes_are_bounded_also_within_a_group(self) -> None:
        window = FrameWindow(1000, 1.0)
        window.append(frame(0, key=True, size=400))
        for number in range(1, 5):
            window.append(frame(number, size=400))
            assert window.bytes <= 1000
        assert window.latest_key is None
        assert window.base == 3

    def test_a_frame_larger_than_the_bound_is_held_alone(self) -> None:
        window = FrameWindow(100, 1.0)
        window.append(frame(0, size=50))
        window.append(frame(1, key=True, size=5000))
        assert (len(window), window.base, window.latest_key) == (1, 1, 1)

    def test_clear_forgets_all_and_keeps_counting(self) -> None:
        window = FrameWindow(10_000, 1.0)
        for number in range(3):
            window.append(frame(number, key=True))
        window.clear()
        assert (len(window), window.bytes, window.base, window.edge) == (0, 0, 3, 3)
        assert window.latest_key is None
        window.append(frame(3))
        window.append(frame(4, key=True))
        assert [window.base, window.edge, window.latest_key] == [3, 5, 4]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.booleans(), st.integers(0, 900), st.floats(0, 3)),
        st.sampled_from(["clear", "release", "restore", "lapped", "drop_released"]),
    ),
    max_size=60,
)


@given(STEPS)
def test_bounds_hold_for_any_frames(steps: list[tuple[bool, int, float] | str]) -> None:
    """Against a model that keeps everything."""
    window = FrameWindow(2000, 1.0)
    model: list[WindowFrame] = []
    messages: list[bytes] = []
    base = here = 0
    now = 0.0
    for step in steps:
        before = window.latest_key
        match step:
            case "clear":
                window.clear()
                base = len(model)
            case "release":
                window.release()
                here = len(model)
            case "restore":
                window.restore(messages.__getitem__)
                here = min(here, len(model) if before is None else before)
            case "lapped":
                window.restore(lambda _: None)
                base = here if before is not None and before < here else base
            case "drop_released":
                window.drop_released()
                base = max(base, here)
            case (key, size, passed):
                now += passed
                model.append(frame(len(model), key=key, at=now, size=size))
                messages.append(model[-1].message)
                window.append(model[-1])
        assert window.edge == len(model)
        assert base <= window.base <= window.here <= window.edge
        assert window.here == max(here, window.base)
        held = model[window.base :]
        assert [window[index] for index in range(window.base, window.edge)] == held
        for index in range(window.base, window.edge):
            assert window[index].message == (messages[index] if index >= window.here else b"")
        assert window.bytes == sum(map(len, messages[window.base :]))
        assert window.bytes <= 2000 or len(held) == 1
        keys = [index for index in range(window.base, window.edge) if model[index].key]
        assert window.latest_key == (keys[-1] if keys else None)
        if keys:
            # Before the newest key frame only what is within the allowed lag.
            assert all(one.arrived >= now - 1.0 for one in model[window.base : keys[-1]])


def holding(*sizes: int) -> FrameWindow:
    """A window of frames with payloads of these sizes."""
    window = FrameWindow(1 << 20, 1.0)
    for number, size in enumerate(sizes):
        window.append(frame(number, key=number == 0, size=size))
    return window


def messages(window: FrameWindow, *indices: int) -> bytes:
    return b"".join(window[index].message for index in indices)


class TestRuns:
    """Several frames as one piece, for who catches up."""

    def test_small_frames_go_together(self) -> None:
        window = holding(1, 2, 3)
        assert window.run(0, raw=False) == (messages(window, 0, 1, 2), 3)
        assert window.run(1, raw=False) == (messages(window, 1, 2), 3)

    def test_all_get_the_same_bytes(self) -> None:
        window = holding(1, 2)
        assert window.run(0, raw=False)[0] is window.run(0, raw=False)[0]

    def test_one_frame_is_its_own_bytes(self) -> None:
        window = holding(1, 2)
        for index, alone in ((1, False), (0, True)):
            data, stop = window.run(index, raw=False, alone=alone)
            assert data is window[index].message
            assert stop == index + 1

    def test_new_frames_make_a_new_run(self) -> None:
        window = holding(1, 2)
        window.run(0, raw=False)
        window.append(frame(2))
        assert window.run(0, raw=False) == (messages(window, 0, 1, 2), 3)

    def test_a_run_ends_before_it_is_too_long(self) -> None:
        size = TOGETHER // 3 - 100
        window = holding(*[size] * 5)
        assert window.run(1, raw=False) == (messages(window, 1, 2, 3), 4)

    def test_a_large_frame_goes_alone(self) -> None:
        window = holding(2 * TOGETHER, 1)
        assert window.run(0, raw=False) == (window[0].message, 1)

    def test_raw_and_wrapped_are_told_apart(self) -> None:
        window = holding(1, 2)
        window.run(0, raw=False)
        assert window.run(0, raw=True) == (window[0].raw + window[1].raw, 2)

    def test_nothing_is_left_of_frames_that_are_void(self) -> None:
        window = holding(1, 2)
        window.run(0, raw=False)
        window.clear()
        window.append(frame(2))
        window.append(frame(3))
        assert window.run(2, raw=False) == (messages(window, 2, 3), 4)
