"""The machine-readable frame number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.publish.pattern.strip import draw_frame_number, read_frame_number


@given(
    st.integers(0, 2**24 - 1),
    st.integers(32, 700).map(lambda half: half * 2),
    st.integers(32, 400).map(lambda half: half * 2),
)
def test_round_trip(number: int, width: int, height: int) -> None:
    luma = np.full((height, width), 90, np.uint8)
    draw_frame_number(luma, number)
    assert read_frame_number(luma) == number


def test_it_counts_modulo_24_bits() -> None:
    luma = np.zeros((72, 128), np.uint8)
    draw_frame_number(luma, 2**24 + 5)
    assert read_frame_number(luma) == 5


@given(st.integers(0, 2**24 - 1), st.integers(0, 2**32))
def test_noise_does_not_hide_it(number: int, seed: int) -> None:
    luma = np.zeros((180, 320), np.uint8)
    draw_frame_number(luma, number)
    noise = np.random.default_rng(seed).normal(0, 25, luma.shape)
    assert read_frame_number(np.clip(luma + noise, 0, 255).astype(np.uint8)) == number


@pytest.mark.parametrize("level", [0, 16, 128, 235, 255])
def test_a_plain_picture_has_none(level: int) -> None:
    assert read_frame_number(np.full((72, 128), level, np.uint8)) is None
