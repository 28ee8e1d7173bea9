"""Which received frames a viewer can decode, and in which order.

Pure. A decoder gets a key frame and then every frame after it; where one is missing, nothing
until the next key frame. A node that joins hears live frames and, on another subject, the group
of pictures before them; whichever comes first, they are put in order here, and what came
twice is passed on once.
"""

from __future__ import annotations

from typing import Final

from relay.cluster.pieces import NumberedFrame

__all__ = ["FrameOrder"]

HELD_BYTES: Final = 8 * 1024 * 1024
"""Live frames kept while the group of pictures before them is on its way."""


class FrameOrder:
    """Order of one stream's frames, one run at a time.

    Attributes:
        run: whose frames are passed on; None: nobody's.
        lost: frames of this and earlier runs that never came, in total.
        needs_key: whether nothing is passed on before the next key frame.
    """

    __slots__ = ("_held", "_held_bytes", "_next", "lost", "needs_key", "run")

    def __init__(self, *, lost: int = 0) -> None:
        self.run: int | None = None
        self.lost = lost
        self.needs_key = True
        # Number of the next frame in order; None: any key frame begins.
        self._next: int | None = None
        self._held: dict[int, NumberedFrame] = {}
        self._held_bytes = 0

    def fits(self, run: int, number: int) -> bool:
        """Whether a frame belongs to the run, and is none that was passed on or lost."""
        return run == self.run and (self._next is None or number >= self._next)

    def begin(self, run: int) -> None:
        """Pass on another run's frames from now on."""
        self.run = run
        self._next = None
        self.needs_key = True
        self._drop_held()

    def need_key(self) -> None:
        """Nothing is to be decoded before the next key frame."""
        self.needs_key = True
        self._drop_held()

    def add(self, frame: NumberedFrame) -> list[NumberedFrame]:
        """The frames, possibly none, that can be passed on now."""
        if not self.fits(frame.run, frame.number):
            return []
        if not frame.key and (self.needs_key or frame.number != self._next):
            if not self.needs_key:
                self.needs_key = True
                self._drop_held()
            self._hold(frame)
            return []
        if self._next is not None:
            self.lost += frame.number - self._next
        self.needs_key = False
        passed = [frame]
        self._next = frame.number + 1
        while (held := self._held.pop(self._next, None)) is not None:
            self._held_bytes -= len(held.envelope)
            passed.append(held)
            self._next += 1
        for number in [each for each in self._held if each < self._next]:
            self._held_bytes -= len(self._held.pop(number).envelope)
        return passed

    def _hold(self, frame: NumberedFrame) -> None:
        if self._held_bytes + len(frame.envelope) > HELD_BYTES:
            self._drop_held()
        elif frame.number not in self._held:
            self._held[frame.number] = frame
            self._held_bytes += len(frame.envelope)

    def _drop_held(self) -> None:
        self._held.clear()
        self._held_bytes = 0
