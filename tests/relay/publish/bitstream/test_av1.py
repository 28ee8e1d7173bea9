"""AV1 key frames carry their sequence header."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.publish.bitstream.av1 import SEQUENCE_HEADER, config_obus, obus, with_sequence_header

HEADER = bytes([SEQUENCE_HEADER << 3 | 2, 3]) + b"seq"
DELIMITER = bytes([2 << 3 | 2, 0])
FRAME = bytes([6 << 3 | 2, 5]) + b"frame"


def test_a_missing_header_is_put_in_front() -> None:
    assert with_sequence_header(FRAME, HEADER) == HEADER + FRAME


def test_it_goes_behind_a_temporal_delimiter() -> None:
    assert with_sequence_header(DELIMITER + FRAME, HEADER) == DELIMITER + HEADER + FRAME


def test_a_present_header_is_enough() -> None:
    unit = DELIMITER + HEADER + FRAME
    assert with_sequence_header(unit, b"other") is unit


def test_config_of_an_av1c_record_and_of_bare_obus() -> None:
    assert config_obus(b"\x81\x00\x0c\x00" + HEADER) == HEADER
    assert config_obus(HEADER) == HEADER


def test_long_sizes_and_extensions() -> None:
    big = bytes([6 << 3 | 6, 0x00, 0xC8, 0x01]) + bytes(200)
    assert list(obus(big + HEADER)) == [(6, 0, 204), (SEQUENCE_HEADER, 204, 209)]


@given(st.binary(max_size=100))
def test_any_bytes_are_walked(data: bytes) -> None:
    for _, begin, end in obus(data):
        assert 0 <= begin < end <= len(data)
