"""Makes every key frame of an Annex B stream complete in itself.

Invariant: after `AnnexBStream.push`, an access unit marked as key holds SPS and PPS in front
of its IDR slice, so a viewer may start there with no init data. Parameter sets come from the
unit itself, else from the last unit that had them, else from the container's extradata.
"""

from __future__ import annotations

from relay.publish.bitstream.h264 import Nal, Sps, annexb_nals, parse_sps

__all__ = ["AnnexBStream"]

_LONG_START_CODE = b"\x00\x00\x00\x01"


class AnnexBStream:
    """Follows one H.264 Annex B stream."""

    def __init__(self, extradata: bytes = b"") -> None:
        self._sps: dict[bytes, None] = {}  # a dict as an ordered set
        self._pps: dict[bytes, None] = {}
        self._parsed: tuple[bytes, Sps] | None = None
        self._learn(extradata)

    @property
    def sps(self) -> Sps | None:
        """What the stream's parameter sets say, None before any was seen.

        The same object is returned until the bytes of the set change.
        """
        if not self._sps:
            return None
        raw = next(iter(self._sps))
        if self._parsed is None or self._parsed[0] != raw:
            try:
                self._parsed = (raw, parse_sps(raw))
            except ValueError:
                return None
        return self._parsed[1]

    def push(self, payload: bytes) -> tuple[bytes, bool]:
        """Take the next access unit.

        Returns:
            The unit, with parameter sets put in front of an IDR that lacks them, and
            whether it is a key frame. An IDR for which none are known is not one.
        """
        kinds = self._learn(payload)
        if Nal.IDR not in kinds:
            return payload, False
        if not self._sps or not self._pps:
            return payload, False
        if Nal.SPS in kinds and Nal.PPS in kinds:
            return payload, True
        sets = b"".join(_LONG_START_CODE + nal for nal in (*self._sps, *self._pps))
        at = self._after_delimiter(payload)
        return payload[:at] + sets + payload[at:], True

    def _learn(self, payload: bytes) -> set[int]:
        kinds: set[int] = set()
        known = {int(Nal.SPS): self._sps, int(Nal.PPS): self._pps}
        for kind, begin, end in annexb_nals(payload):
            if kind in known:
                if kind not in kinds:
                    known[kind].clear()  # a unit that brings sets brings all of them
                known[kind][payload[begin:end]] = None
            kinds.add(kind)
        return kinds

    @staticmethod
    def _after_delimiter(payload: bytes) -> int:
        """Where sets may go: an access unit delimiter must stay first (7.4.1.2.3)."""
        for kind, _, end in annexb_nals(payload):
            return end if kind == Nal.DELIMITER else 0
        return 0
