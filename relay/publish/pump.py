"""Moves frames from a feed to a sink. Runs in one thread; knows no media and no network.

Invariant: the first frame that a sink gets is a key frame, and before each frame whose
`info` is new the sink is told.
"""

from __future__ import annotations

import threading

from relay.publish.model import Feed, Sink, StreamInfo
from relay.publish.tally import Tally

__all__ = ["pump"]


def pump(
    feed: Feed,
    sink: Sink,
    tally: Tally,
    stop: threading.Event,
    *,
    max_frames: int | None = None,
    max_us: int | None = None,
) -> None:
    """Run until the feed ends, ``stop`` is set or a limit is reached.

    Args:
        feed: where frames come from.
        sink: where they go.
        tally: counts them.
        stop: ends the pump after the current frame.
        max_frames: stop after this many frames.
        max_us: stop after this much media time, microseconds.

    Raises:
        PublishError: from the feed or the sink.
    """
    told: StreamInfo | None = None
    first_pts_us = 0
    for frame in feed.frames():
        if stop.is_set():
            return
        if told is None:
            if not frame.key:
                continue
            first_pts_us = frame.pts_us
        if max_us is not None and frame.pts_us - first_pts_us >= max_us:
            return
        if frame.info is not told:
            sink.open(frame.info)
            if told is None and not feed.live:
                # A recording can wait for the relay; the world cannot.
                sink.wait_ready()
                if stop.is_set():
                    return
            told = frame.info
        sink.write(frame)
        tally.count(frame)
        if max_frames is not None and tally.frames >= max_frames:
            return
        if sink.key_requested:
            feed.request_key()
