"""The rules that hold for what any one viewer receives, whatever happens around it.

* Before the first frame, and before the first frame of every publisher, comes a ``hello``.
* The first frame after a ``hello`` is a key frame.
* A frame that does not follow its predecessor since then by one is a key frame: a delta never comes
  after a gap, nor after a key frame of somebody else.
* A payload is, to the bit, what its publisher made.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

import msgpack

from tests.e2e.payload import Proof, prove

__all__ = ["FrameChecker"]

_KEY: Final = 1
_FRAME_MARK: Final = 0x95
_KEPT_AGES: Final = 4000


class FrameChecker:
    """Checks one viewer's messages across all its connections.

    Attributes:
        frames: how many came.
        keys: how many of them were key frames.
        last_seq: seq of the newest frame of this connection and publisher; None: none yet.
        epoch: of the last hello; 0: none yet.
        gaps: how often a frame did not follow its predecessor within one connection.
        lost: how many seqs were missing in these gaps.
        said: types of all control messages, newest last.
        violations: every rule that was broken, in words.
        hello: the newest of this connection.
        first_was_key: whether the first frame after the newest hello was a key frame.
        ages: ``(arrival in monotonic seconds, age in seconds since capture)`` of frames.
    """

    def __init__(self) -> None:
        self.frames = self.keys = self.bytes = 0
        self.last_seq: int | None = None
        self.epoch = 0
        self.gaps = self.lost = 0
        self.said: deque[str] = deque(maxlen=100)
        self.violations: list[str] = []
        self.ages: deque[tuple[float, float]] = deque(maxlen=_KEPT_AGES)
        self.hello: dict[str, Any] | None = None
        self.first_was_key = False
        self._awaiting_key = True
        self._proof: Proof | None = None

    def connected(self) -> None:
        """A new connection knows nothing of the one before."""
        self.hello = None
        self.last_seq = None
        self.first_was_key = False
        self._awaiting_key = True

    def message(self, data: bytes) -> dict[str, Any] | None:
        """Check a message; returns it when it is not a frame."""
        if data[:1] == bytes((_FRAME_MARK,)):
            self._frame(data)
            return None
        value = msgpack.unpackb(data)
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            self.violations.append(f"a message that is no map with a type: {data[:40]!r}")
            return None
        self.said.append(value["type"])
        if value["type"] == "hello":
            self.hello = value
            self.epoch = value["epoch"]
            self.last_seq = None
            self._awaiting_key = True
        return value

    def _frame(self, data: bytes) -> None:
        seq, _, capture_us, flags, payload = msgpack.unpackb(data, use_list=False)
        key = bool(flags & _KEY)
        self.frames += 1
        self.keys += key
        self.bytes += len(data)
        self.ages.append((time.monotonic(), time.time() - capture_us / 1e6))
        if self.hello is None:
            self._broken(seq, "came before any hello")
        follows = self.last_seq is not None and seq == self.last_seq + 1
        if self.last_seq is not None and not follows:
            self.gaps += 1
            self.lost += max(0, seq - self.last_seq - 1)
            if seq <= self.last_seq:
                self._broken(seq, f"came after {self.last_seq}")
        if self._awaiting_key:
            self.first_was_key = key
        if not key and self._awaiting_key:
            self._broken(seq, "is a delta where a key frame was due")
        elif not key and not follows:
            self._broken(seq, f"is a delta after a gap; the last one was {self.last_seq}")
        self._awaiting_key = False
        self.last_seq = seq
        self._prove(seq, key, payload)

    def _prove(self, seq: int, key: bool, payload: bytes) -> None:
        before = self._proof
        try:
            proof = self._proof = prove(payload)
        except ValueError as exc:
            self._broken(seq, f"is corrupt: {exc}")
            return
        if proof.seq != seq or (proof.key_seq == seq) != key:
            self._broken(seq, f"carries the payload of frame {proof.seq}, key {proof.key_seq}")
        if key or before is None:
            return
        if (before.mark, before.key_seq) != (proof.mark, proof.key_seq):
            self._broken(seq, f"builds on key {proof.key_seq}; the last was {before.key_seq}")

    def _broken(self, seq: int, what: str) -> None:
        self.violations.append(f"epoch {self.epoch}: frame {seq} {what}")

    @property
    def mark(self) -> str:
        """Mark of the publisher of the newest frame, in hexadecimal."""
        return self._proof.mark.hex() if self._proof is not None else ""
