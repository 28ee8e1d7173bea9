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


def fall_asleep(subscriber: Subscriber) -> None:
    """Leave it waiting for the next ring, with none pending."""
    with pytest.raises(TimeoutError):
        while True:
            subscriber.read(0)
    subscriber._bell.drain()
    assert not subscriber._bell.wait(0)


@pytest.mark.parametrize("then", ["inherits", "replaces", "ends"])
def test_a_writer_that_is_killed_before_it_rings_silences_nobody(instance: str, then: str) -> None:
    """It has taken the sleeping reader's flag: only its successor can wake that reader."""
    with Subscriber("cam", instance=instance, timeout=60) as subscriber:
        with Child("publish", instance, "cam", CAPACITY) as victim:
            assert victim.line() == "epoch 1"
            victim.ask("key before")
            fall_asleep(subscriber)
            victim.send("mute")
            assert victim.ask("key unheard") == "about to ring"
            victim.kill()
        assert not subscriber._bell.wait(0)

        capacity = CAPACITY * 2 if then == "replaces" else CAPACITY
        payloads = [b"unheard"]
        with Publisher("cam", codec="test", instance=instance, capacity=capacity) as successor:
            if then != "ends":
                successor.write(b"after", key=True)
                payloads.append(b"after")
            assert subscriber._bell.wait(0)
            for payload in payloads:
                frame = subscriber.read()
                assert frame is not None
                assert frame.payload == payload
        assert subscriber.read() is None


@pytest.mark.parametrize("news", ["begins", "ends"])
def test_a_writer_that_is_killed_before_its_news_silences_nobody(instance: str, news: str) -> None:
    with Subscriber("cam", instance=instance, timeout=60) as subscriber:
        fall_asleep(subscriber)
        mute = ["mute"] if news == "begins" else []
        with Child("publish", instance, "cam", CAPACITY, *mute) as victim:
            if news == "ends":
                assert victim.line() == "epoch 1"
                fall_asleep(subscriber)
                victim.send("mute")
                victim.send("close")
            assert victim.line() == "about to ring"
            victim.kill()
        assert not subscriber._bell.wait(0)
        with published(instance) as successor:
            successor.write(b"after", key=True)
            assert subscriber._bell.wait(0)
            if news == "ends":
                assert subscriber.read() is None
            frame = subscriber.read()
            assert frame is not None
            assert frame.payload == b"after"


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
