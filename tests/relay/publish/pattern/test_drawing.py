"""The test pattern moves, tells the time, and does not smear."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from relay.publish.pattern import Pattern, read_frame_number

NOON_US = 1_732_276_800_000_000


def test_the_same_moment_is_the_same_picture() -> None:
    """Nothing that was drawn before may be left: restoring is complete."""
    fresh = Pattern(320, 180, "cam", "note").draw(7, NOON_US + 250_000).copy()
    used = Pattern(320, 180, "cam", "note")
    for number in range(90):
        used.draw(number, NOON_US - 60_000_000 + number * 1_033_333)
    np.testing.assert_array_equal(used.draw(7, NOON_US + 250_000), fresh)


def test_each_frame_differs() -> None:
    pattern = Pattern(320, 180)
    frames = [pattern.draw(n, NOON_US + n * 33_333).tobytes() for n in range(60)]
    assert len(set(frames)) == 60


def test_layout_of_the_array() -> None:
    array = Pattern(320, 180).draw(0, NOON_US)
    assert array.shape == (270, 320)
    assert read_frame_number(array[:180]) == 0


@pytest.mark.parametrize("size", [(64, 64), (64, 1080), (2000, 64), (200, 400), (1920, 1080)])
def test_any_size(size: tuple[int, int]) -> None:
    width, height = size
    array = Pattern(width, height, "a-rather-long_stream.name").draw(3, NOON_US)
    assert read_frame_number(array[:height]) == 3


@pytest.mark.parametrize("size", [(321, 180), (320, 181), (62, 100)])
def test_impossible_sizes(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="even"):
        Pattern(*size)


def test_the_colour_bars_are_true() -> None:
    array: NDArray[np.uint8] = Pattern(1280, 720).draw(0, NOON_US)
    luma = array[600, 56:1224]
    bars = [int(luma[round((index + 0.5) * len(luma) / 7)]) for index in range(7)]
    # 75 % white, yellow, cyan, green, magenta, red, blue in BT.709 (SMPTE RP 219)
    np.testing.assert_allclose(bars, [180, 168, 145, 133, 63, 51, 28], atol=2)
