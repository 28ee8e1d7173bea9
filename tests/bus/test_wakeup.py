"""No ring too few, and few too many."""

from __future__ import annotations

import os
import random

import pytest

from bus import Publisher, Subscriber
from bus.doorbell import Ringer
from tests.bus.processes import Child

CAPACITY = 1 << 16


def published(instance: str) -> Publisher:
    return Publisher("cam", codec="test", instance=instance, capacity=CAPACITY)


class CountingRinger:
    """Rings, and counts."""

    def __init__(self, ringer: Ringer) -> None:
        self._ringer = ringer
        self.count = 0

    def ring(self, bell: int, token: int) -> bool:
        self.count += 1
        return self._ringer.ring(bell, token)

    def close(self) -> None:
        self._ringer.close()


def test_wakeup_coalescing(instance: str) -> None:
    """1000 frames for a reader that asked once to be woken: one ring, and the last frame."""
    with published(instance) as publisher, Subscriber("cam", instance=instance) as subscriber:
        publisher.write(b"", key=True)
        subscriber.read(0)
        with pytest.raises(TimeoutError):
            subscriber.read(0)
        publisher._ringer = ringer = CountingRinger(publisher._ringer)
        for number in range(1000):
            publisher.write(number.to_bytes(4, "little"), key=True)
        assert ringer.count == 1
        got = b""
        with pytest.raises(TimeoutError):
            while frame := subscriber.read(0):
                got = frame.payload
        assert got == (999).to_bytes(4, "little")


def test_a_busy_reader_costs_no_system_call(instance: str) -> None:
    with published(instance) as publisher, Subscriber("cam", instance=instance) as subscriber:
        publisher._ringer = ringer = CountingRinger(publisher._ringer)
        for _ in range(1000):
            publisher.write(b"", key=True)
            assert subscriber.read(0) is not None
        assert ringer.count == 0


def test_no_wakeup_is_lost(instance: str) -> None:
    """Each frame is written at about the moment when its reader falls asleep."""
    chance = random.Random(6)
    with published(instance) as publisher, Child("answer", instance, "cam") as reader:
        assert reader.line() == "ready"
        answers = reader.output.fileno()
        for number in range(4000):
            publisher.write(number.to_bytes(4, "little"), key=True)
            answer = b""
            while not answer.endswith(b"\n"):
                part = os.read(answers, 64)
                assert part, reader.complaints()
                answer += part
            assert int(answer) == number
            for _ in range(chance.randrange(600)):
                pass
        publisher.close()
        reader.finish()
