"""H.264 bytes: known vectors, sizes of every kind, and input that is no H.264."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.publish.bitstream.h264 import (
    Nal,
    Sps,
    annexb_nals,
    avcc_codec_string,
    avcc_has_idr,
    is_avcc,
    parse_sps,
    sps_codec_string,
)

# The avcC record of the test clip: Main profile, level 3.1, four-byte lengths.
CLIP_AVCC = bytes.fromhex(
    "014d401fffe10017674d401fda014016ec0440000003004000000c83c60ca801000468ef3c80"
)
CLIP_SPS = CLIP_AVCC[8 : 8 + 0x17]

# Sequence parameter sets as encoders really write them, with what ffprobe says of them.
KNOWN_SPS = [
    ("674d401fda014016ec0440000003004000000c83c60ca8", Sps("avc1.4d401f", 1280, 720)),
    # x264, Constrained Baseline
    ("6742c01fda014016e9a808080a000003000200000300791e306540", Sps("avc1.42c01f", 1280, 720)),
    # x264, High
    ("6764001facb402802dd350101014000003000400000300f23c60ca80", Sps("avc1.64001f", 1280, 720)),
    # x264, High 10, 4:2:0, 320x240
    ("676e000da6cd94141fa10000030001000003003283c60c6580", Sps("avc1.6e000d", 320, 240)),
]


class TestCodecString:
    def test_from_avcc(self) -> None:
        assert avcc_codec_string(CLIP_AVCC) == "avc1.4d401f"

    def test_from_sps(self) -> None:
        assert sps_codec_string(CLIP_SPS) == "avc1.4d401f"

    @pytest.mark.parametrize("junk", [b"", b"\x00\x00\x00\x01\x67\x4d\x40\x1f", b"\x01\x4d"])
    def test_no_avcc(self, junk: bytes) -> None:
        assert not is_avcc(junk)
        with pytest.raises(ValueError, match="avcC"):
            avcc_codec_string(junk)

    @pytest.mark.parametrize("junk", [b"", b"\x67\x4d", b"\x68\xef\x3c\x80"])
    def test_no_sps(self, junk: bytes) -> None:
        with pytest.raises(ValueError, match="sequence parameter set"):
            sps_codec_string(junk)


class TestSps:
    @pytest.mark.parametrize(("sps", "expected"), KNOWN_SPS)
    def test_known(self, sps: str, expected: Sps) -> None:
        assert parse_sps(bytes.fromhex(sps)) == expected

    @pytest.mark.parametrize("size", range(4, 9))
    def test_truncated(self, size: int) -> None:
        with pytest.raises(ValueError, match="truncated"):
            parse_sps(CLIP_SPS[:size])

    @given(st.binary(max_size=60))
    def test_any_bytes_are_a_size_or_a_value_error(self, body: bytes) -> None:
        try:
            sps = parse_sps(b"\x67" + body)
        except ValueError:
            return
        assert 0 < sps.width <= 1 << 16
        assert 0 < sps.height <= 1 << 16


class TestAnnexB:
    @given(
        st.lists(
            st.tuples(st.booleans(), st.sampled_from([6, 7, 8, 9]), st.binary(max_size=20)),
            max_size=6,
        )
    )
    def test_units_are_found_whole(self, parts: list[tuple[bool, int, bytes]]) -> None:
        # Emulation prevention keeps zeros away from real units; so does this.
        units = [
            bytes([kind]) + body.replace(b"\x00", b"\x7f") + b"\x80" for _, kind, body in parts
        ]
        data = b"".join(
            (b"\x00\x00\x00\x01" if long else b"\x00\x00\x01") + unit
            for (long, _, _), unit in zip(parts, units, strict=True)
        )
        assert [data[begin:end] for _, begin, end in annexb_nals(data)] == units

    def test_the_walk_ends_at_the_first_slice(self) -> None:
        data = b"\0\0\1\x09\xf0\0\0\1\x65abc\0\0\1\x65def"
        assert [kind for kind, _, _ in annexb_nals(data)] == [Nal.DELIMITER, Nal.IDR]

    @given(st.binary(max_size=200))
    def test_any_bytes_are_walked(self, data: bytes) -> None:
        for _, begin, end in annexb_nals(data):
            assert 0 < begin < end <= len(data)


class TestLengthPrefixed:
    @pytest.mark.parametrize(
        ("kinds", "expected"),
        [
            ((0x06, 0x65), True),
            ((0x65,), True),
            ((0x41,), False),
            ((0x06, 0x41, 0x65), False),
            ((0x67, 0x68), False),
            ((), False),
        ],
    )
    def test_the_first_slice_decides(self, kinds: tuple[int, ...], expected: bool) -> None:
        payload = b"".join((3).to_bytes(4, "big") + bytes([kind, 1, 2]) for kind in kinds)
        assert avcc_has_idr(payload, CLIP_AVCC) is expected

    def test_two_byte_lengths(self) -> None:
        avcc = CLIP_AVCC[:4] + b"\xfd" + CLIP_AVCC[5:]
        assert avcc_has_idr(b"\x00\x02\x65\x80", avcc)

    @given(st.binary(max_size=100))
    def test_any_bytes_have_an_answer(self, payload: bytes) -> None:
        assert avcc_has_idr(payload, CLIP_AVCC) in (True, False)
