"""Where everything lies in shared memory. No other file holds an offset.

All words are 64-bit, native-endian and 8-aligned, so that a load or a store of one is
a single instruction. Words written by different processes are on different cache lines.

A stream's segment::

    byte 0         4096           8192            8192 + 2*16384      + capacity
    ┌──────────────┬──────────────┬───────────────┬──────────────────────┐
    │ header words │ reader table │ metadata x 2  │ ring                 │
    └──────────────┴──────────────┴───────────────┴──────────────────────┘

The ring is a lossy broadcast buffer after Agrona's: positions only grow, a position's
place is ``position & (capacity - 1)``, and a record at ``p`` is intact exactly while
``TAIL_INTENT - p <= capacity``. A record::

    word 0     position of this record (proves that a reader looks at a record)
    word 1     payload length in bytes | kind << 32 | key << 40
    word 2     number of the record since the segment was made; of the next one in padding
    word 3     CRC-32 of the payload, seeded with the position | metadata version << 32
    then       the payload, padded to RECORD_ALIGN

A directory's and a worker table's segment have the same first four words and the same
reader table (the directory) or rows (the worker table) after the header.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = [
    "ASLEEP_OFFSET",
    "CAPACITY_DEFAULT",
    "CAPACITY_MIN",
    "HEADER_BYTES",
    "MAGIC",
    "METADATA_BYTES",
    "METADATA_OFFSET",
    "PUBLISHER_LOCK",
    "READERS_OFFSET",
    "READER_SLOTS",
    "READER_WORDS",
    "RECORD_ALIGN",
    "RECORD_HEADER",
    "RING_OFFSET",
    "TOKENS",
    "VERSION",
    "Kind",
    "ReaderWord",
    "RecordKind",
    "State",
    "Word",
    "align",
    "max_payload",
]

MAGIC: Final = int.from_bytes(b"RELAYBUS", "little")
VERSION: Final = 1


class Kind(IntEnum):
    """What a segment is for."""

    STREAM = 1
    DIRECTORY = 2
    WORKERS = 3
    VIEWERS = 4
    CLUSTER = 5


class State(IntEnum):
    """Life of a stream's segment."""

    ATTACHING = 0
    """Made or inherited, no metadata of the present epoch yet."""
    LIVE = 1
    RETIRED = 2
    """Unlinked: its publisher ended the stream."""
    REPLACED = 3
    """Unlinked: the stream goes on in another segment of the same name."""


class Word(IntEnum):
    """Index of a header word."""

    MAGIC = 0
    VERSION = 1
    KIND = 2
    SIZE = 3
    CAPACITY = 4
    # Written by the publisher when it attaches (STATE: by a takeover, too).
    EPOCH = 8
    PUBLISHER_PID = 9
    STATE = 10
    METADATA_VERSION = 11
    CLOCK_OFFSET_US = 12
    """Capturing host's clock minus this host's, two's complement."""
    EPOCH_START = 13
    """Position of the present publisher's first record."""
    PUBLISHER_BELL = 14
    """Id of the doorbell of a publisher that wants to be rung; 0: it does not."""
    PUBLISHER_TOKEN = 15
    # Written by the publisher for every record.
    TAIL_INTENT = 16
    TAIL = 24
    LATEST = 25
    LATEST_KEY = 26
    """Position of the newest key frame + 1; 0: none in this epoch."""
    RECORDS = 27
    # Written by the publisher for people to read.
    FRAMES = 32
    KEY_FRAMES = 33
    BYTES = 34
    HEARTBEAT_NS = 35
    MILLI_FPS = 36
    BITRATE = 37
    # Written by any reader.
    KEY_WANTED_NS = 40
    # Written by whoever changes the set of streams (directory only).
    GENERATION = 48


class ReaderWord(IntEnum):
    """Index of a word within a slot of the reader table."""

    PID = 0
    BELL = 1
    """Id of the doorbell; 0: the slot is free."""
    TOKEN = 2
    VIEWERS = 3


class RecordKind(IntEnum):
    """What a record in the ring is."""

    FRAME = 1
    PADDING = 2


HEADER_BYTES: Final = 4096
ASLEEP_OFFSET: Final = 1024
"""One byte for each reader slot, 1 while its owner wants to be woken: together, so that a
writer looks at all of them at once."""
READERS_OFFSET: Final = HEADER_BYTES
READER_SLOTS: Final = 64
READER_WORDS: Final = 8
TOKENS: Final = 1 << 16
"""Doorbell tokens are below this: so many streams can one process read at a time."""
METADATA_OFFSET: Final = READERS_OFFSET + READER_SLOTS * READER_WORDS * 8
METADATA_BYTES: Final = 16384
RING_OFFSET: Final = METADATA_OFFSET + 2 * METADATA_BYTES

RECORD_HEADER: Final = 32
RECORD_ALIGN: Final = 32

CAPACITY_MIN: Final = 64 * 1024
CAPACITY_DEFAULT: Final = 16 * 1024 * 1024

PUBLISHER_LOCK: Final = READER_SLOTS
"""Lock number of the publisher; locks 0 to READER_SLOTS - 1 are those of reader slots."""


def align(size: int) -> int:
    """``size`` in bytes rounded up to RECORD_ALIGN."""
    return (size + RECORD_ALIGN - 1) & -RECORD_ALIGN


def max_payload(capacity: int) -> int:
    """Largest payload in bytes of a ring: a quarter, so that a wrap never eats it all."""
    return capacity // 4 - RECORD_HEADER
