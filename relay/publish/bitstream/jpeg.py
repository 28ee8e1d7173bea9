"""JPEG as bytes. Pure."""

from __future__ import annotations

__all__ = ["has_huffman_tables"]

_SOI = b"\xff\xd8"
_DHT = 0xC4
_SOS = 0xDA


def has_huffman_tables(jpeg: bytes) -> bool:
    """Whether a JPEG picture brings its Huffman tables (ITU-T T.81, B.2.4.2).

    Motion JPEG may leave the standard ones out. Something that is no JPEG counts as
    complete: it is not for us to repair.
    """
    if not jpeg.startswith(_SOI):
        return True
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _DHT:
            return True
        if marker == _SOS:
            return False
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return True
