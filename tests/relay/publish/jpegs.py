"""JPEG pictures as some cameras send them."""

from __future__ import annotations

__all__ = ["without_huffman_tables"]


def without_huffman_tables(jpeg: bytes) -> bytes:
    """The picture with its DHT segments cut out."""
    out, at = bytearray(jpeg[:2]), 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != 0xC4:
            out += jpeg[at:end]
        at = end
    return bytes(out + jpeg[at:])
