"""The stroke font."""

from __future__ import annotations

import string

import numpy as np
import pytest

from relay.publish.pattern.glyphs import text_mask


@pytest.mark.parametrize("char", string.ascii_uppercase + string.digits + "._-:+")
def test_every_character_of_a_stream_name_has_ink(char: str) -> None:
    assert text_mask(char, 20).max() == pytest.approx(1, abs=0.3)


def test_characters_differ() -> None:
    pictures = {text_mask(char, 40).tobytes() for char in string.ascii_uppercase}
    assert len(pictures) == 26


def test_small_letters_are_shown_as_capitals() -> None:
    np.testing.assert_array_equal(text_mask("demo", 20), text_mask("DEMO", 20))


def test_unknown_characters_take_room() -> None:
    assert text_mask("A€A", 20).shape[1] > text_mask("AA", 20).shape[1]
    assert text_mask("", 20).sum() == 0
