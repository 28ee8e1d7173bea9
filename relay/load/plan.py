"""What a user asked for, as one frozen value. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.load.mix import Mix
from relay.load.streams import SyntheticStreams
from relay.load.target import Target
from relay.load.thresholds import Threshold
from relay.load.watching import Clocks

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        target: where viewers go.
        token: sent in every handshake; empty: none.
        viewers: how many; of a search for the limit, its first level.
        most: the last level of that search; 0: no search.
        processes: that viewers live in.
        duration: seconds of the test, or of each level.
        ramp: seconds over which viewers arrive.
        mix: what kinds of viewers there are.
        churn: viewers that leave and come anew in a second.
        publish: test streams; None: somebody else publishes.
        browsers: pages with the real player.
        chromium: program that shows them.
        fail_if: when the test has failed.
        local: whether the relay runs on this host.
        command: as the user wrote it, without secrets.
    """

    target: Target
    token: str = field(repr=False)
    viewers: int
    most: int
    processes: int
    duration: float
    ramp: float
    mix: Mix
    churn: float
    publish: SyntheticStreams | None
    browsers: int
    chromium: str
    fail_if: tuple[Threshold, ...]
    local: bool
    command: str

    @property
    def clocks(self) -> Clocks:
        """Whose clocks are the viewers' own."""
        if self.publish is not None and self.publish.has(self.target.stream):
            return Clocks.PUBLISHER
        return Clocks.RELAY if self.local else Clocks.OTHERS

    @property
    def streams(self) -> tuple[str, ...]:
        """What viewers watch: the test streams when the URL names them, else the URL's."""
        published = self.publish
        if published is None or not published.has(self.target.stream):
            return (self.target.stream,)
        return published.names
