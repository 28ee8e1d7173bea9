"""Bit fields: what a writer of the specification's codes puts down is what is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.publish.bitstream.bits import BitReader, BitsExhausted


def pack(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""


def ue(value: int) -> str:
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


@given(st.lists(st.integers(0, 2**32 - 2), max_size=20))
def test_exp_golomb_round_trip(values: list[int]) -> None:
    bits = BitReader(pack("".join(map(ue, values))))
    assert [bits.ue() for _ in values] == values


@pytest.mark.parametrize(("code", "value"), list(enumerate([0, 1, -1, 2, -2, 3, -3])))
def test_signed_codes_alternate(code: int, value: int) -> None:
    assert BitReader(pack(ue(code))).se() == value


def test_fields_are_big_endian() -> None:
    bits = BitReader(b"\xa5\x0f")
    assert (bits.u(4), bits.flag(), bits.u(3), bits.u(8)) == (0xA, False, 5, 0x0F)


def test_reading_past_the_end_is_an_error() -> None:
    with pytest.raises(BitsExhausted):
        BitReader(b"\x01").u(9)


def test_an_endless_prefix_is_an_error() -> None:
    with pytest.raises(BitsExhausted):
        BitReader(bytes(100)).ue()
