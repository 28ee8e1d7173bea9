"""What is wrong with connections to NATS: counted each time, logged once a minute.

Many connections fail for the same reason at the same moment, and again at every attempt.
"""

from __future__ import annotations

import logging
import time
from typing import Final

import nats.errors

from relay.cluster.counters import ClusterCounters, Counter

__all__ = ["Complaints", "words_of"]

log = logging.getLogger(__name__)

AGAIN: Final = 60.0
"""Seconds after which the same words are logged again."""


def words_of(error: BaseException | None) -> str:
    """An error of nats-py in one line."""
    return (str(error) or type(error).__name__).removeprefix("nats: ")


class Complaints:
    """See the module."""

    __slots__ = ("_counters", "_told")

    def __init__(self, counters: ClusterCounters) -> None:
        self._counters = counters
        self._told: dict[str, float] = {}

    def say(self, words: str) -> None:
        """Log a warning, unless the same was logged lately."""
        now = time.monotonic()
        self._told = {each: at for each, at in self._told.items() if now - at < AGAIN}
        if words not in self._told:
            self._told[words] = now
            log.warning("%s", words)

    def report(self, error: Exception) -> None:
        """Take what nats-py reports of a connection that may go on."""
        if isinstance(error, nats.errors.SlowConsumerError):
            self._counters.add(Counter.SLOW_CONSUMERS)
            return
        if "permissions violation" in str(error).lower():
            self._counters.add(Counter.REFUSED)
        self.say(f"NATS: {words_of(error)}")

    def forget(self) -> None:
        """All is well: whatever goes wrong from now on is new."""
        self._told.clear()
