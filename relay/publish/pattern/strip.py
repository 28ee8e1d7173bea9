"""A machine-readable frame number inside the picture.

The bottom edge of the test pattern is a row of 32 black or white blocks: 24 bits of the
frame number, most significant first, then 8 check bits. It survives lossy coding at any
usual bitrate, so whoever holds a decoded picture can tell which frame it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCKS", "draw_frame_number", "read_frame_number", "strip_height"]

BLOCKS = 32
_BLACK, _WHITE = 16, 235  # BT.709 limited range
_CHECK = 0xA5  # so that an all-black or all-white strip is not valid


def strip_height(height: int) -> int:
    """Height of the strip in a picture of this height, in pixels."""
    return max(height // 36, 4)


def _check(number: int) -> int:
    return (number >> 16 ^ number >> 8 ^ number ^ _CHECK) & 0xFF


def draw_frame_number(luma: NDArray[np.uint8], number: int) -> None:
    """Write ``number`` (modulo 2**24) into the bottom rows of a luma plane."""
    number &= 0xFFFFFF
    word = number << 8 | _check(number)
    rows = strip_height(luma.shape[0])
    width = luma.shape[1]
    bits = np.arange(width) * BLOCKS // width
    line = np.where(word >> (BLOCKS - 1 - bits) & 1, _WHITE, _BLACK).astype(np.uint8)
    luma[-rows:] = line


def read_frame_number(luma: NDArray[np.uint8]) -> int | None:
    """Read the number from a decoded luma (or grey) plane; None when there is none."""
    height, width = luma.shape
    rows = strip_height(height)
    middle = luma[height - rows * 3 // 4 : height - rows // 4].astype(np.float32).mean(axis=0)
    word = 0
    for block in range(BLOCKS):
        # Rounded up, as in drawing: column x belongs to block x * BLOCKS // width.
        begin, end = -(-block * width // BLOCKS), -(-(block + 1) * width // BLOCKS)
        quarter = (end - begin) // 4
        value = middle[begin + quarter : max(end - quarter, begin + quarter + 1)].mean()
        word = word << 1 | int(value > (_BLACK + _WHITE) / 2)
    number = word >> 8
    return number if word & 0xFF == _check(number) else None
