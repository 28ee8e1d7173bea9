"""AV1 as bytes: makes a key frame carry its sequence header.

A file may keep the sequence header only in its av1C record; WebCodecs takes no description
for AV1 and wants it in the bitstream. Pure functions over OBUs (AV1 specification, 5.3).
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["SEQUENCE_HEADER", "config_obus", "obus", "with_sequence_header"]

SEQUENCE_HEADER = 1
TEMPORAL_DELIMITER = 2


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (index * 7)
        if not byte & 0x80:
            break
    return value, at


def obus(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Walk a temporal unit.

    Yields:
        ``(type, begin, end)``: OBU type, and the offsets of the OBU with its header.
    """
    at = 0
    while at < len(data):
        begin = at
        header = data[at]
        at += 2 if header & 0x04 else 1  # obu_extension_flag
        if header & 0x02:  # obu_has_size_field
            size, at = _leb128(data, at)
            at += size
        else:
            at = len(data)
        yield header >> 3 & 0x0F, begin, min(at, len(data))


def config_obus(extradata: bytes) -> bytes:
    """The OBUs in a container's extradata: those of an av1C record, or bare ones."""
    return extradata[4:] if extradata[:1] == b"\x81" else extradata


def with_sequence_header(unit: bytes, config: bytes) -> bytes:
    """The temporal unit of a key frame, with ``config`` put in when it has no sequence header."""
    at = 0
    for kind, _, end in obus(unit):
        if kind == SEQUENCE_HEADER:
            return unit
        if kind == TEMPORAL_DELIMITER:
            at = end
    return unit[:at] + config + unit[at:]
