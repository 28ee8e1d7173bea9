"""A reader for the bit strings in codec headers. Pure: bytes in, integers out."""

from __future__ import annotations

__all__ = ["BitReader", "BitsExhausted"]

_MAX_EXP_GOLOMB_PREFIX = 32  # ISO/IEC 14496-10, 9.1: ue(v) values fit 32 bits


class BitsExhausted(ValueError):
    """The header ended before its fields did."""


class BitReader:
    """Reads big-endian bit fields from the start of ``data``."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def u(self, bits: int) -> int:
        """The next ``bits`` bits as an unsigned integer.

        Raises:
            BitsExhausted: when fewer are left.
        """
        if bits > self._left:
            raise BitsExhausted(f"{bits} bits wanted, {self._left} left")
        self._left -= bits
        return (self._value >> self._left) & ((1 << bits) - 1)

    def flag(self) -> bool:
        """The next bit."""
        return bool(self.u(1))

    def ue(self) -> int:
        """An unsigned Exp-Golomb code, ue(v)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > _MAX_EXP_GOLOMB_PREFIX:
                raise BitsExhausted("an Exp-Golomb code is longer than 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb code, se(v)."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)
