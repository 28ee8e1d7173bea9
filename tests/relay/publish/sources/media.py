"""Feeds for tests: any source, at a clock that does not wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice

from relay.publish.model import MediaFrame
from relay.publish.sources.encoder import EncoderSettings
from relay.publish.sources.locations import locate
from relay.publish.sources.media_feed import MediaFeed, Treatment
from relay.publish.sources.pacer import Pacer
from tests.relay.publish.fakes import FakeClock

__all__ = ["FeedRun", "publish"]


class FeedRun:
    """A feed and what it said.

    Attributes:
        feed: the feed.
        stop: ends it.
        notices: its lines for the user.
        clock: the pacer's clock.
    """

    def __init__(self, source: object, treatment: Treatment | None = None) -> None:
        self.stop = threading.Event()
        self.notices: list[str] = []
        self.clock = FakeClock()
        self.feed = MediaFeed(
            locate(str(source), environment={}),
            treatment or Treatment(EncoderSettings()),
            self.stop,
            self.notices.append,
            Pacer(self.clock.sleep, self.clock),
        )

    def frames(self) -> Iterator[MediaFrame]:
        return self.feed.frames()


def publish(
    source: object, *, count: int | None = None, codec: str = "auto", **treatment: object
) -> list[MediaFrame]:
    """The frames (at most ``count``) of a source."""
    run = FeedRun(source, Treatment(EncoderSettings(codec), **treatment))  # type: ignore[arg-type]
    return list(islice(run.frames(), count))
