"""What this node's programs publish, and what other nodes are told of it."""

from __future__ import annotations

from dataclasses import replace

from bus.directory import list_streams
from bus.stream import StreamInfo
from relay.cluster.link import Link
from relay.cluster.messages import Announcement, encode
from relay.cluster.outgoing import unix_us
from relay.cluster.sending import Sending
from relay.cluster.subjects import Subjects

__all__ = ["LocalStreams"]


class LocalStreams:
    """See the module.

    Attributes:
        announced: this node's claims, by stream.
    """

    def __init__(self, instance: str, link: Link, subjects: Subjects, sending: Sending) -> None:
        self._instance = instance
        self._link = link
        self._subjects = subjects
        self._sending = sending
        self._terms: dict[str, int] = {}
        self.announced: dict[str, Announcement] = {}

    def took_over(self, stream: str, term: int) -> None:
        """A program of this host took a stream from its owner: its claim has this term."""
        self._terms[stream] = term

    def scan(self) -> None:
        """Look what is published now; tell at once what has begun or ended."""
        found = {
            info.name: info
            for info in list_streams(self._instance)
            if info.live and info.metadata is not None and info.metadata.kind != "cluster"
        }
        for stream in [each for each in self.announced if each not in found]:
            self.end(stream)
        for stream, info in found.items():
            self._see(stream, info)

    def _see(self, stream: str, info: StreamInfo) -> None:
        metadata = info.metadata
        assert metadata is not None
        known = self.announced.get(stream)
        news = Announcement(
            live=True,
            term=known.term if known else self._terms.pop(stream, 0),
            since=known.since if known else unix_us(),
            epoch=metadata.epoch,
            codec=metadata.codec,
            width=metadata.width,
            height=metadata.height,
            fps=metadata.fps or info.fps,
            bitrate=info.bitrate,
        )
        self.announced[stream] = news
        if known is None:
            self._link.send(self._subjects.stream(stream), encode(news))

    def end(self, stream: str) -> None:
        """A stream is this node's no more."""
        news = replace(self.announced.pop(stream), live=False)
        self._link.send(self._subjects.stream(stream), encode(news))
        self._sending.end(stream)

    def announce(self) -> None:
        """Tell everything again."""
        for stream, news in self.announced.items():
            self._link.send(self._subjects.stream(stream), encode(news))

    def say_goodbye(self) -> None:
        """All of them end."""
        for stream in list(self.announced):
            self.end(stream)
