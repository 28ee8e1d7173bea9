"""Counts of one run. Written by the pump's thread, read by anyone; integers only."""

from __future__ import annotations

from dataclasses import dataclass

from relay.publish.model import MediaFrame, StreamInfo

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """What was handed to the sink so far.

    Attributes:
        info: the stream's description, None before the first frame.
        frames: frames.
        key_frames: key frames among them.
        bytes: payload bytes.
    """

    info: StreamInfo | None = None
    frames: int = 0
    key_frames: int = 0
    bytes: int = 0

    def count(self, frame: MediaFrame) -> None:
        """One more frame."""
        self.info = frame.info
        self.frames += 1
        self.key_frames += frame.key
        self.bytes += len(frame.payload)
