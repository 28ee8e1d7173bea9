"""Whether a JPEG brings its Huffman tables."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from relay.publish.bitstream.jpeg import has_huffman_tables
from tests.relay.publish.jpegs import without_huffman_tables


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 16), "teal").save(buffer, "jpeg")
    return buffer.getvalue()


def test_a_usual_jpeg_has_them() -> None:
    assert has_huffman_tables(picture())


def test_a_stripped_one_has_not() -> None:
    assert not has_huffman_tables(without_huffman_tables(picture()))


def test_fill_bytes_are_skipped() -> None:
    assert has_huffman_tables(b"\xff\xd8\xff\xff\xff\xc4\x00\x02")


@pytest.mark.parametrize("junk", [b"", b"\xff\xd8", b"GIF89a"])
def test_what_is_no_jpeg_is_left_alone(junk: bytes) -> None:
    assert has_huffman_tables(junk)


@given(st.binary(max_size=100))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    assert has_huffman_tables(b"\xff\xd8" + data) in (True, False)
