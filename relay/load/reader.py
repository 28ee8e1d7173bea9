"""Takes apart what one viewer receives. Pure; nothing of its input is kept.

The relay sends each message as one unmasked WebSocket frame. See `known` for how little is
looked at in a video frame that another viewer got before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from relay.load.known import HEAD, KnownFrame, KnownFrames
from relay.load.wire import BINARY

__all__ = ["FrameReader", "WireError"]

_FRAME_MARK: Final = 0x95
_CONTROL_LIMIT: Final = 65_536
_WIDTHS: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_BIN_HEADS: Final = {0xC4: 2, 0xC5: 3, 0xC6: 5}


class WireError(Exception):
    """The relay sent what a viewer does not understand."""


class FrameReader:
    """One connection's.

    Args:
        known: frames of the same stream, shared with its other viewers.
        frame: called with each complete frame, and whether its bytes were those that others got.
        control: called with opcode and payload of everything else.
    """

    __slots__ = ("_carry", "_control", "_current", "_frame", "_good", "_known", "_offset")

    def __init__(
        self,
        known: KnownFrames,
        frame: Callable[[KnownFrame, bool], None],
        control: Callable[[int, bytes], None],
    ) -> None:
        self._known = known
        self._frame = frame
        self._control = control
        self._carry = bytearray()
        self._current: KnownFrame | None = None
        self._offset = 0
        self._good = True

    def feed(self, data: memoryview) -> None:
        """Take bytes.

        Raises:
            WireError: when they are no messages.
        """
        at, size = 0, len(data)
        if self._current is not None:
            at = self._take(self._current, data, 0, size)
        elif self._carry:
            self._carry += data
            joined = bytes(self._carry)
            self._carry.clear()
            data, size = memoryview(joined), len(joined)
        while at < size:
            head = bytes(data[at : at + HEAD])
            known = self._known.find(head)
            if known is None:
                used = self._first(head, data, at, size)
                if not used:
                    self._carry += data[at:]
                    return
                at += used
            else:
                at += self._take(known, data, at, size)

    def _take(self, known: KnownFrame, data: memoryview, at: int, size: int) -> int:
        """Bytes that belong to a frame; it is complete when ``_current`` is None afterwards."""
        offset = self._offset
        taken = min(known.total - offset, size - at)
        good = self._good and known.agrees(offset, data[at : at + taken])
        if offset + taken < known.total:
            self._current, self._offset, self._good = known, offset + taken, good
        else:
            self._current, self._offset, self._good = None, 0, True
            self._frame(known, good)
        return taken

    def _first(self, head: bytes, data: memoryview, at: int, size: int) -> int:
        """A message that nobody got before; 0 when more is needed to tell what it is."""
        if len(head) < 2:
            return 0
        length, start = head[1], 2
        if head[0] & 0xF0 != 0x80 or length > 127:
            raise WireError(f"a frame that begins with {head[:2].hex()}")
        if length >= 126:
            start += 2 if length == 126 else 8
            if len(head) < start:
                return 0
            length = int.from_bytes(head[2:start])
        total, opcode = start + length, head[0] & 0x0F
        if size - at < min(total, HEAD):
            return 0
        if opcode == BINARY and length and head[start] == _FRAME_MARK:
            known = _frame_of(head, start, total)
            if total >= HEAD:
                self._known.add(head, known)
            return self._take(known, data, at, size)
        if total > _CONTROL_LIMIT:
            raise WireError(f"a control message of {total} bytes")
        if size - at < total:
            return 0
        self._control(opcode, bytes(data[at + start : at + total]))
        return total


def _frame_of(head: bytes, start: int, total: int) -> KnownFrame:
    at, values = start + 1, []
    try:
        for _ in range(4):
            mark = head[at]
            at += 1
            width = _WIDTHS.get(mark)
            if width is None:
                if 0x80 <= mark < 0xE0:
                    raise WireError(f"a frame whose numbers hold {mark:#x}")
                values.append(mark if mark < 0x80 else mark - 256)
                continue
            values.append(int.from_bytes(head[at : at + width], signed=mark >= 0xD0))
            at += width
        return KnownFrame(values[0], values[2], values[3], total, at + _BIN_HEADS[head[at]])
    except (IndexError, KeyError):
        raise WireError("a frame that is cut short or holds no payload") from None
