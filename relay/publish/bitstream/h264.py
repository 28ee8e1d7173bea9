"""H.264 as bytes: NAL units, parameter sets, key frames, and the codec string.

Pure functions over both packagings of ISO/IEC 14496-15 and 14496-10: length-prefixed
("AVCC", with an avcC record beside the stream) and Annex B (start codes). A *key frame*
here is an IDR picture: browsers start nowhere else. Knows no container and no PyAV.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from relay.publish.bitstream.bits import BitReader, BitsExhausted

__all__ = [
    "Nal",
    "Sps",
    "annexb_nals",
    "avcc_codec_string",
    "avcc_has_idr",
    "is_avcc",
    "parse_sps",
    "sps_codec_string",
]

_START_CODE = b"\x00\x00\x01"
_MAX_SIDE = 1 << 16  # far above any level's limit


class Nal(IntEnum):
    """NAL unit types, ISO/IEC 14496-10 table 7-1."""

    SLICE = 1
    IDR = 5
    SEI = 6
    SPS = 7
    PPS = 8
    DELIMITER = 9


@dataclass(frozen=True, slots=True)
class Sps:
    """The fields of a sequence parameter set that a publisher announces."""

    codec: str
    width: int
    height: int


def is_avcc(extradata: bytes) -> bool:
    """Whether extradata is an avcC record, and payloads therefore length-prefixed."""
    return len(extradata) >= 7 and extradata[0] == 1


def avcc_codec_string(avcc: bytes) -> str:
    """The codec string of an avcC record, such as ``avc1.4d401f``.

    Raises:
        ValueError: when the record is not one.
    """
    if not is_avcc(avcc):
        raise ValueError("not an avcC record")
    return f"avc1.{avcc[1:4].hex()}"


def avcc_has_idr(payload: bytes, avcc: bytes) -> bool:
    """Whether a length-prefixed access unit holds an IDR picture."""
    prefix = (avcc[4] & 3) + 1
    at = 0
    while at + prefix < len(payload):
        size = int.from_bytes(payload[at : at + prefix], "big")
        kind = payload[at + prefix] & 0x1F
        if Nal.SLICE <= kind <= Nal.IDR:
            return kind == Nal.IDR
        at += prefix + size
    return False


def annexb_nals(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Walk an Annex B access unit.

    The walk ends with the first slice, whose end is given as the end of ``data``: the
    parameter sets come before it, and slices are long.

    Yields:
        ``(type, begin, end)``: NAL unit type, and the offsets of the unit without its
        start code.
    """
    found = data.find(_START_CODE)
    while found >= 0 and found + 3 < len(data):
        begin = found + 3
        kind = data[begin] & 0x1F
        if Nal.SLICE <= kind <= Nal.IDR:
            yield kind, begin, len(data)
            return
        found = data.find(_START_CODE, begin)
        end = found if found >= 0 else len(data)
        while end > begin and data[end - 1] == 0:  # zero_byte of the next start code
            end -= 1
        if end > begin:
            yield kind, begin, end


def sps_codec_string(sps: bytes) -> str:
    """The codec string of an SPS NAL unit: profile, constraints, level.

    Raises:
        ValueError: when it is too short or no SPS.
    """
    if len(sps) < 4 or sps[0] & 0x1F != Nal.SPS:
        raise ValueError("not a sequence parameter set")
    return f"avc1.{sps[1:4].hex()}"


_PROFILES_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})


def parse_sps(sps: bytes) -> Sps:
    """Read codec string and picture size from an SPS NAL unit (7.3.2.1.1).

    Raises:
        ValueError: when it is no SPS, ends too early or makes no sense.
    """
    codec = sps_codec_string(sps)
    bits = BitReader(sps[1:].replace(b"\x00\x00\x03", b"\x00\x00"))
    try:
        width, height = _picture_size(bits)
    except BitsExhausted as exc:
        raise ValueError(f"a truncated sequence parameter set: {exc}") from None
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise ValueError(f"a sequence parameter set of impossible size {width}x{height}")
    return Sps(codec, width, height)


def _picture_size(bits: BitReader) -> tuple[int, int]:
    profile = bits.u(8)
    bits.u(16)  # constraint flags, level_idc
    bits.ue()  # seq_parameter_set_id
    chroma = 1
    separate_planes = False
    if profile in _PROFILES_WITH_CHROMA:
        chroma = bits.ue()
        if chroma == 3:
            separate_planes = bits.flag()
        bits.ue()  # bit_depth_luma_minus8
        bits.ue()  # bit_depth_chroma_minus8
        bits.flag()  # qpprime_y_zero_transform_bypass_flag
        if bits.flag():  # seq_scaling_matrix_present_flag
            for index in range(12 if chroma == 3 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.ue()  # log2_max_frame_num_minus4
    order_type = bits.ue()
    if order_type == 0:
        bits.ue()  # log2_max_pic_order_cnt_lsb_minus4
    elif order_type == 1:
        bits.flag()  # delta_pic_order_always_zero_flag
        bits.se()  # offset_for_non_ref_pic
        bits.se()  # offset_for_top_to_bottom_field
        for _ in range(bits.ue()):
            bits.se()  # offset_for_ref_frame
    bits.ue()  # max_num_ref_frames
    bits.flag()  # gaps_in_frame_num_value_allowed_flag
    width = (bits.ue() + 1) * 16
    map_units = bits.ue() + 1
    frames_only = bits.flag()
    height = (2 - frames_only) * map_units * 16
    if not frames_only:
        bits.flag()  # mb_adaptive_frame_field_flag
    bits.flag()  # direct_8x8_inference_flag
    if bits.flag():  # frame_cropping_flag
        subsampled_x = chroma in (1, 2) and not separate_planes
        subsampled_y = chroma == 1 and not separate_planes
        unit_x = 2 if subsampled_x else 1
        unit_y = (2 if subsampled_y else 1) * (2 - frames_only)
        width -= unit_x * (bits.ue() + bits.ue())
        height -= unit_y * (bits.ue() + bits.ue())
    return width, height


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se() + 256) % 256
        last = following or last
