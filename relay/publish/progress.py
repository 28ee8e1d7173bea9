"""The status line: what goes out, how fast, and what was lost.

`Progress` computes lines from counts (pure; time is a parameter), `Console` prints them: one
line rewritten in place on a terminal, a plain line every few seconds elsewhere.
"""

from __future__ import annotations

import sys
from typing import TextIO

from relay.publish.model import Sink
from relay.publish.tally import Tally

__all__ = ["Console", "Progress"]

_TTY_INTERVAL_S = 1.0
_PLAIN_INTERVAL_S = 5.0


class Progress:
    """Turns counts into sentences.

    Args:
        stream: stream name.
        tally: counts of the pump.
        sink: counts of the way.
        now_s: monotonic seconds.
    """

    def __init__(self, stream: str, tally: Tally, sink: Sink, now_s: float) -> None:
        self._stream = stream
        self._tally = tally
        self._sink = sink
        self._start_s = self._last_s = now_s
        self._last_frames = self._last_bytes = 0

    def line(self, now_s: float) -> str:
        """The state, with rates since the last line."""
        span = max(now_s - self._last_s, 1e-3)
        frames = self._tally.frames - self._last_frames
        size = self._tally.bytes - self._last_bytes
        self._last_s = now_s
        self._last_frames, self._last_bytes = self._tally.frames, self._tally.bytes
        if self._tally.info is None:
            return f"{self._stream} waiting for the first frame"
        return (
            f"{self._stream} {self._picture()} {frames / span:.1f} fps "
            f"{size * 8 / span / 1e6:.1f} Mbit/s {self._counts()}"
        )

    def summary(self, now_s: float) -> str:
        """What the whole run did."""
        span = now_s - self._start_s
        if self._tally.info is None:
            return f"{self._stream}: nothing was published in {span:.1f} s"
        return (
            f"{self._stream}: {self._tally.frames} frames ({self._picture()}), "
            f"{self._tally.bytes / 1e6:.1f} MB in {span:.1f} s, {self._counts()}"
        )

    def _picture(self) -> str:
        info = self._tally.info
        if info is None:
            return ""
        codec = info.codec.split(".", 1)[0]
        names = {"avc1": "h264", "vp09": "vp9", "av01": "av1"}
        return f"{info.width}x{info.height} {names.get(codec, codec)}"

    def _counts(self) -> str:
        return (
            f"key {self._tally.key_frames} dropped {self._sink.dropped} "
            f"reconnects {self._sink.reconnects}"
        )


class Console:
    """Prints lines for the user.

    Args:
        quiet: print nothing but errors.
        out: where to; a terminal gets a line that is rewritten in place.
    """

    def __init__(self, *, quiet: bool = False, out: TextIO | None = None) -> None:
        self._out = out if out is not None else sys.stderr
        self._quiet = quiet
        self._tty = self._out.isatty()
        self._status = ""  # what stands on the terminal's last line

    @property
    def interval_s(self) -> float:
        """Seconds between status lines."""
        return _TTY_INTERVAL_S if self._tty else _PLAIN_INTERVAL_S

    def status(self, line: str) -> None:
        """Show the state, over the state shown before."""
        if self._quiet:
            return
        if self._tty:
            self._print(line, end="")
            self._status = line
        else:
            self._print(line)

    def notice(self, line: str) -> None:
        """Tell of an event. May be called from any thread."""
        if not self._quiet:
            self._print(line)

    def error(self, line: str) -> None:
        """Tell why the program ends."""
        self._print(line)

    def _print(self, line: str, end: str = "\n") -> None:
        erase = "\r" + " " * len(self._status) + "\r" if self._status else ""
        self._status = ""
        try:
            self._out.write(f"{erase}{line}{end}")
            self._out.flush()
        except (OSError, ValueError):
            pass  # a closed terminal must not end the stream
