"""The reader table of a segment: who is to be woken, and who sleeps.

A slot belongs to the process that holds the lock of the same number, so taking one needs
no atomic instruction, and a reader that dies frees its slot by dying.

The hand-over that must not lose a wake-up has two sides. A reader stores ASLEEP, fences,
and looks at the tail again; a writer stores the tail, fences, and looks at ASLEEP. With a
full fence on both sides at least one of them sees the other's store.

A writer clears ASLEEP before it rings, and may be killed in between: then the reader sleeps
and nothing says so. Hence whoever begins, ends or replaces a stream rings every reader.
"""

from __future__ import annotations

import os
from typing import Final

from bus.doorbell import Doorbell, Ringer
from bus.errors import TooManyReaders
from bus.fence import full_fence
from bus.layout import ASLEEP_OFFSET, READER_SLOTS, READER_WORDS, READERS_OFFSET, ReaderWord
from bus.segment import Segment

__all__ = ["ReaderSlot", "ReaderTable"]

_BELL: Final = int(ReaderWord.BELL)
_TOKEN: Final = int(ReaderWord.TOKEN)


class ReaderSlot:
    """One reader's slot. Only its owner writes it, except that a writer clears its sleep."""

    __slots__ = ("_asleep", "_number", "_words")

    def __init__(self, words: memoryview, asleep: memoryview, number: int) -> None:
        self._words = words
        self._asleep = asleep
        self._number = number

    @property
    def number(self) -> int:
        """Index of the slot in its table."""
        return self._number

    def sleep(self) -> None:
        """Ask for a ring. Look at the tail again afterwards: it may have moved before."""
        # SYNC POINT: store the sleep flag, full fence, then the caller loads TAIL.
        self._asleep[self._number] = 1
        full_fence()

    def awake(self) -> None:
        """Ask for no ring."""
        self._asleep[self._number] = 0

    def set_viewers(self, count: int) -> None:
        """Tell how many viewers this reader serves."""
        self._words[self._number * READER_WORDS + ReaderWord.VIEWERS] = count

    def clear(self) -> None:
        """Make the slot look free."""
        base = self._number * READER_WORDS
        self._asleep[self._number] = 0
        self._words[base + _BELL] = 0
        self._words[base + ReaderWord.VIEWERS] = 0


class ReaderTable:
    """All slots of one segment."""

    __slots__ = ("_asleep", "_claimed", "_segment", "_words")

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._claimed: set[int] = set()
        stop = READERS_OFFSET + READER_SLOTS * READER_WORDS * 8
        self._words = segment.slice_words(READERS_OFFSET, stop)
        self._asleep = segment.slice(ASLEEP_OFFSET, ASLEEP_OFFSET + READER_SLOTS)

    def claim(self, bell: Doorbell, token: int) -> ReaderSlot:
        """Take a free slot, to be rung at ``bell`` with ``token``.

        Raises:
            TooManyReaders: when live processes hold them all.
        """
        for number in range(READER_SLOTS):
            # An open file never conflicts with its own locks.
            if number in self._claimed or not self._segment.try_lock(number):
                continue
            self._claimed.add(number)
            slot = ReaderSlot(self._words, self._asleep, number)
            slot.clear()
            base = number * READER_WORDS
            self._words[base + ReaderWord.PID] = os.getpid()
            self._words[base + _TOKEN] = token
            self._words[base + _BELL] = bell.id
            return slot
        raise TooManyReaders(self._segment.name, READER_SLOTS)

    def release(self, slot: ReaderSlot) -> None:
        """Leave the table."""
        slot.clear()
        self._claimed.discard(slot.number)
        self._segment.unlock(slot.number)

    def ring_sleepers(self, ringer: Ringer) -> None:
        """Ring every reader that sleeps: one system call for each.

        Call it after the store that readers wait for.
        """
        # SYNC POINT: the caller stored TAIL (or GENERATION); full fence; load the flags.
        full_fence()
        flags = bytes(self._asleep)
        number = flags.find(1)
        while number >= 0:
            self._ring(number, ringer)
            number = flags.find(1, number + 1)

    def ring_all(self, ringer: Ringer) -> None:
        """Ring every reader, whether it is known to sleep or not.

        For the news that no later ring would bring: another writer may have been killed
        after it took a reader's sleep flag and before it rang.
        """
        for number in range(READER_SLOTS):
            self._ring(number, ringer)

    def _ring(self, number: int, ringer: Ringer) -> None:
        self._asleep[number] = 0
        base = number * READER_WORDS
        bell = self._words[base + _BELL]
        if bell:
            try:
                ringer.ring(bell, self._words[base + _TOKEN])
            except OSError:
                # It sleeps on; the next record rings again.
                self._asleep[number] = 1

    def count(self) -> int:
        """Live readers in other mappings."""
        return sum(
            bool(self._words[number * READER_WORDS + _BELL])
            and self._segment.locked_elsewhere(number)
            for number in range(READER_SLOTS)
        )

    def viewers(self) -> int:
        """Viewers that other mappings' live readers serve, together."""
        total = 0
        for number in range(READER_SLOTS):
            count: int = self._words[number * READER_WORDS + ReaderWord.VIEWERS]
            if count and self._segment.locked_elsewhere(number):
                total += count
        return total
