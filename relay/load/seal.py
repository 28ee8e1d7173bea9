"""Payloads that prove themselves: test streams end each of theirs with a seal. Pure.

::

    body | 8 bytes mark | 8 bytes capture_us | CRC-32 of all that precedes, big-endian

At the end, because decoders of VP8 and JPEG ignore what follows a picture: a sealed picture
plays in browsers.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

__all__ = ["SEAL_BYTES", "flaw", "seal", "sealed"]

_MARK: Final = b"\x00relseal"
SEAL_BYTES: Final = 20


def seal(body: bytes, capture_us: int) -> bytes:
    """The payload of a frame that was captured at ``capture_us``."""
    said = body + _MARK + capture_us.to_bytes(8)
    return said + crc32(said).to_bytes(4)


def sealed(payload: memoryview) -> bool:
    """Whether a payload carries a seal."""
    return bytes(payload[-SEAL_BYTES : -SEAL_BYTES + len(_MARK)]) == _MARK


def flaw(payload: memoryview, capture_us: int) -> str:
    """What is wrong with a payload that should carry a seal; empty: nothing."""
    if len(payload) < SEAL_BYTES or crc32(payload[:-4]) != int.from_bytes(payload[-4:]):
        return "a payload whose checksum is wrong"
    if int.from_bytes(payload[-12:-4]) != capture_us:
        return "a payload of another frame than its header says"
    return ""
