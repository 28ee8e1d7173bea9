"""Codec strings against the examples of the registries they come from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.publish.bitstream.codec_strings import (
    av1_codec_string,
    av1c_codec_string,
    vp9_codec_string,
    vp9_level,
)


@pytest.mark.parametrize(
    ("width", "height", "fps", "level"),
    [
        (256, 144, 15, 10),
        (640, 360, 30, 21),
        (854, 480, 30, 30),
        (1280, 720, 30, 31),
        (1920, 1080, 30, 40),
        (1920, 1080, 60, 41),
        (3840, 2160, 30, 50),
        (3840, 2160, 60, 51),
        (7680, 4320, 60, 61),
        (7680, 4320, 500, 62),
        (720, 1280, 0, 31),  # an unknown rate counts as 30
    ],
)
def test_vp9_levels(width: int, height: int, fps: float, level: int) -> None:
    assert vp9_level(width, height, fps) == level


@given(st.integers(2, 4096), st.integers(2, 4096), st.floats(1, 120))
def test_a_larger_picture_never_has_a_lower_level(width: int, height: int, fps: float) -> None:
    assert vp9_level(width + 64, height + 64, fps) >= vp9_level(width, height, fps)


def test_vp9_string() -> None:
    assert vp9_codec_string(0, 1280, 720, 30) == "vp09.00.31.08"
    assert vp9_codec_string(2, 1920, 1080, 30, 10) == "vp09.02.40.10"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("81080c00", "av01.0.08M.08"),
        ("81094c00", "av01.0.09M.10"),
        ("812dec00", "av01.1.13H.12"),
        ("81000c000a0b000000043cffbc02f80040", "av01.0.00M.08"),
    ],
)
def test_av1c(record: str, expected: str) -> None:
    assert av1c_codec_string(bytes.fromhex(record)) == expected


@pytest.mark.parametrize("junk", [b"", b"\x81\x08", b"\x0a\x0b\x00\x00"])
def test_no_av1c(junk: bytes) -> None:
    with pytest.raises(ValueError, match="av1C"):
        av1c_codec_string(junk)


def test_av1_string() -> None:
    assert av1_codec_string(0, 4) == "av01.0.04M.08"
