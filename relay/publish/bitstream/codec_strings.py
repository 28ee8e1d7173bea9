"""Codec strings as in RFC 6381 and the WebCodecs registry, for VP9 and AV1.

H.264's are in `h264`, beside the bytes that they come from; ``vp8`` and ``mjpeg`` are
constants. Pure functions.
"""

from __future__ import annotations

__all__ = ["av1_codec_string", "av1c_codec_string", "vp9_codec_string", "vp9_level"]

# VP9 levels: (level * 10, luma samples/s, luma picture size, longest side), from the VP9
# level definitions (webmproject.org, "VP9 levels").
_VP9_LEVELS = (
    (10, 829_440, 36_864, 512),
    (11, 2_764_800, 73_728, 768),
    (20, 4_608_000, 122_880, 960),
    (21, 9_216_000, 245_760, 1_344),
    (30, 20_736_000, 552_960, 2_048),
    (31, 36_864_000, 983_040, 2_752),
    (40, 83_558_400, 2_228_224, 4_160),
    (41, 160_432_128, 2_228_224, 4_160),
    (50, 311_951_360, 8_912_896, 8_384),
    (51, 588_251_136, 8_912_896, 8_384),
    (52, 1_176_502_272, 8_912_896, 8_384),
    (60, 1_176_502_272, 35_651_584, 16_832),
    (61, 2_353_004_544, 35_651_584, 16_832),
    (62, 4_706_009_088, 35_651_584, 16_832),
)
_DEFAULT_FPS = 30.0


def vp9_level(width: int, height: int, fps: float) -> int:
    """The lowest VP9 level (times ten) whose limits hold this picture and rate."""
    area = width * height
    rate = area * (fps or _DEFAULT_FPS)
    for level, max_rate, max_area, max_side in _VP9_LEVELS:
        if rate <= max_rate and area <= max_area and max(width, height) <= max_side:
            return level
    return _VP9_LEVELS[-1][0]


def vp9_codec_string(profile: int, width: int, height: int, fps: float, bit_depth: int = 8) -> str:
    """For example ``vp09.00.31.08``: profile, level, bit depth."""
    return f"vp09.{profile:02d}.{vp9_level(width, height, fps):02d}.{bit_depth:02d}"


def av1_codec_string(profile: int, level_index: int, tier: int = 0, bit_depth: int = 8) -> str:
    """For example ``av01.0.08M.08``: profile, seq_level_idx, tier, bit depth."""
    return f"av01.{profile}.{level_index:02d}{'H' if tier else 'M'}.{bit_depth:02d}"


def av1c_codec_string(av1c: bytes) -> str:
    """The codec string of an av1C record (AV1 in ISOBMFF, section 2.3).

    Raises:
        ValueError: when the record is not one.
    """
    if len(av1c) < 4 or av1c[0] != 0x81:
        raise ValueError("not an av1C record")
    profile, level = av1c[1] >> 5, av1c[1] & 0x1F
    tier, high_depth, twelve_bit = av1c[2] >> 7, av1c[2] >> 6 & 1, av1c[2] >> 5 & 1
    depth = 12 if high_depth and twelve_bit else 10 if high_depth else 8
    return av1_codec_string(profile, level, tier, depth)
