"""Payloads that prove themselves: who made them, in what order, and that no bit changed.

::

    4 bytes   magic
    4         CRC-32 of everything that follows
    8         the publisher's random mark
    8         seq of this frame
    8         seq of the key frame that it builds on; its own for a key frame
    rest      noise, different in every frame
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from typing import Final
from zlib import crc32

__all__ = ["OVERHEAD", "PayloadMaker", "Proof", "prove"]

_MAGIC: Final = b"RLY1"
_HEAD: Final = struct.Struct("<4sI8sQQ")
_CHECKED_FROM: Final = 8
_NOISE: Final = random.Random(5).randbytes(1 << 20)

OVERHEAD: Final = _HEAD.size
"""Bytes of the smallest payload."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What an intact payload says of itself."""

    mark: bytes
    seq: int
    key_seq: int


class PayloadMaker:
    """Makes the payloads of one publisher."""

    def __init__(self, mark: bytes, size: int, key_every: int) -> None:
        """Prepare.

        Args:
            mark: 8 random bytes.
            size: bytes of each payload.
            key_every: every so many frames one is a key frame, from the first.
        """
        self._mark = mark
        self._size = max(size, OVERHEAD) - OVERHEAD
        self._key_every = key_every
        self._key_seq = 0

    def is_key(self, seq: int) -> bool:
        """Whether frame ``seq`` is due to be a key frame."""
        return seq % self._key_every == 0

    def make(self, seq: int, *, key: bool) -> bytes:
        """The payload of frame ``seq``."""
        if key:
            self._key_seq = seq
        start = seq * 997 % (len(_NOISE) - min(self._size, len(_NOISE) // 2))
        noise = _NOISE[start : start + self._size].ljust(self._size, b"\xa5")
        checked = _HEAD.pack(b"", 0, self._mark, seq, self._key_seq)[_CHECKED_FROM:] + noise
        return _MAGIC + struct.pack("<I", crc32(checked)) + checked


def prove(payload: bytes) -> Proof:
    """Check a payload.

    Raises:
        ValueError: when it is not as its publisher made it.
    """
    if len(payload) < OVERHEAD:
        raise ValueError(f"a payload of {len(payload)} bytes")
    magic, crc, mark, seq, key_seq = _HEAD.unpack_from(payload)
    if magic != _MAGIC:
        raise ValueError(f"a payload that begins with {payload[:8].hex()}")
    if crc32(memoryview(payload)[_CHECKED_FROM:]) != crc:
        raise ValueError(f"frame {seq}: {len(payload)} bytes whose checksum is wrong")
    return Proof(mark, seq, key_seq)
