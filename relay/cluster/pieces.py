"""Frames larger than one NATS message: split here, joined there.

Pure. A frame of which a piece is missing is dropped: the pieces of one frame come in order, so
the first piece that does not fit proves it. The checksum is of the whole frame, from the
sender's memory to the receiver's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bus.checksum import crc32

__all__ = ["Joiner", "NumberedFrame", "Piece", "split"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a frame; most frames are one piece.

    Attributes:
        run: number of the run that the frame belongs to; see `messages.Hello`.
        number: of the frame within its run, from 0, without gaps where nothing was lost.
        key: whether it is a key frame.
        index: of the piece within the frame.
        count: pieces of the frame.
        sent: when it was sent, Unix microseconds.
        crc: CRC-32 of the whole frame.
        data: the part.
    """

    run: int
    number: int
    key: bool
    index: int
    count: int
    sent: int
    crc: int
    data: bytes

    def fields(self) -> list[object]:
        """The array that it is packed as."""
        return [getattr(self, name) for name in self.__dataclass_fields__]


@dataclass(frozen=True, slots=True)
class NumberedFrame:
    """A frame's envelope with its place in a run.

    Attributes:
        run, number, key: as in `Piece`.
        envelope: the frame as its publisher packed it.
    """

    run: int
    number: int
    key: bool
    envelope: bytes


def split(frame: NumberedFrame, size: int, now: int) -> Iterator[Piece]:
    """Pieces of at most ``size`` bytes, in order.

    Args:
        now: Unix microseconds.
    """
    data = frame.envelope
    crc = crc32(data)
    count = max(1, -(-len(data) // size))
    for index in range(count):
        part = data[index * size : (index + 1) * size]
        yield Piece(frame.run, frame.number, frame.key, index, count, now, crc, part)


class Joiner:
    """Joins the pieces that come on one subject.

    Attributes:
        incomplete: frames dropped because a piece was missing.
        corrupt: frames dropped because their checksum was wrong.
    """

    __slots__ = ("_first", "_limit", "_parts", "_size", "corrupt", "incomplete")

    def __init__(self, limit: int) -> None:
        """Begin.

        Args:
            limit: bytes of the largest frame that is taken.
        """
        self._limit = limit
        self._first: Piece | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self.incomplete = 0
        self.corrupt = 0

    def add(self, piece: Piece) -> NumberedFrame | None:
        """The frame that this piece completes, if it does."""
        first = self._first
        fits = first is not None and (
            (piece.run, piece.number, piece.count, piece.crc)
            == (first.run, first.number, first.count, first.crc)
            and piece.index == len(self._parts)
        )
        if not fits:
            self.reset()
            if piece.index != 0:
                # Of a frame whose beginning is missing: counted once, at its end.
                self.incomplete += piece.index == piece.count - 1 and first is None
                return None
            self._first = piece
        self._parts.append(piece.data)
        self._size += len(piece.data)
        if self._size > self._limit:
            self.reset()
            return None
        if len(self._parts) < piece.count:
            return None
        envelope = self._parts[0] if piece.count == 1 else b"".join(self._parts)
        self._forget()
        if crc32(envelope) != piece.crc:
            self.corrupt += 1
            return None
        return NumberedFrame(piece.run, piece.number, piece.key, envelope)

    def reset(self) -> None:
        """Drop a frame that is not complete."""
        self.incomplete += self._first is not None
        self._forget()

    def _forget(self) -> None:
        self._first = None
        self._parts = []
        self._size = 0
