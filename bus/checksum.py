"""CRC-32 as `zlib` has it: every byte of every frame goes through it in every process.

zlib-ng's takes an eighth of the time; it is used where it is installed.
"""

from __future__ import annotations

try:
    from zlib_ng.zlib_ng import crc32
except ImportError:
    from zlib import crc32

__all__ = ["crc32"]
