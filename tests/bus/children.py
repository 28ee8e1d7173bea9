"""What child processes of the tests do: ``python -m tests.bus.children ROLE ARGUMENT…``.

Imports nothing but `bus`: some tests run it in other Pythons.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, cast

import bus.publisher
from bus import BusError, Publisher, Subscriber
from bus.names import instance_prefix
from bus.segment import list_objects

PATIENCE = 60.0
"""Seconds after which a child gives up; nothing that works takes as long."""


def say(line: object) -> None:
    print(line, flush=True)


def publish(instance: str, stream: str, capacity: str, mute: str = "") -> None:
    """Publish what is typed: ``key TEXT``, ``delta TEXT``, ``tear TEXT``, ``close``.

    After ``mute``, or with that argument from the beginning, it stops before its next ring.
    """
    if mute:
        vars(bus.publisher)["open_ringer"] = lambda _: _MuteRinger()
    try:
        publisher = Publisher(
            stream, codec="test", instance=instance, capacity=int(capacity), fps=25.0
        )
    except BusError as exc:
        say(f"{type(exc).__name__}: {exc}")
        return
    with publisher:
        say(f"epoch {publisher.epoch}")
        for line in sys.stdin:
            command, _, text = line.strip().partition(" ")
            if command == "close":
                break
            if command == "mute":
                publisher._ringer = _MuteRinger()
                continue
            if command == "tear":
                _tear(publisher)
            say(publisher.write(text.encode(), key=command == "key"))


def _tear(publisher: Publisher) -> None:
    """Let the next write stop for ever in the middle of its payload."""
    writer = publisher._writer
    writer._ring = cast(memoryview, _TearingView(writer._ring))


class _TearingView:
    def __init__(self, view: memoryview) -> None:
        self._view = view

    def __setitem__(self, place: slice, data: Any) -> None:
        half = place.start + len(data) // 2
        self._view[place.start : half] = data[: len(data) // 2]
        say("torn")
        sys.stdin.read()


class _MuteRinger:
    """Stops for ever instead of ringing."""

    def ring(self, bell: int, token: int) -> bool:
        say("about to ring")
        sys.stdin.read()
        return True

    def close(self) -> None: ...


def read(instance: str, stream: str, count: str) -> None:
    """Read so many frames (0: all there are) and say their payloads."""
    with Subscriber(stream, instance=instance, timeout=PATIENCE) as subscriber:
        say("ready")
        for number, frame in enumerate(subscriber, 1):
            say(f"{'key' if frame.key else 'delta'} {frame.payload.decode()}")
            if number == int(count):
                return
    say("end")


def answer(instance: str, stream: str) -> None:
    """Read each frame and say so at once, until the stream ends."""
    with Subscriber(stream, instance=instance, timeout=PATIENCE) as subscriber:
        say("ready")
        for frame in subscriber:
            say(int.from_bytes(frame.payload, "little"))


def crowd(instance: str) -> None:
    """Fill all of shared memory and go on writing into a ring that is there."""
    try:
        Publisher("large", codec="test", instance=instance, capacity=1 << 24)
    except BusError as exc:
        say(f"{type(exc).__name__}: {exc}")
    say(f"left {list_objects('relay@')}")
    with Publisher("small", codec="test", instance=instance, capacity=1 << 16) as publisher:
        with open("/dev/shm/crowd", "wb", buffering=0) as crowd:
            try:
                while crowd.write(bytes(4096)) == 4096:
                    pass
            except OSError as exc:
                say(exc.strerror)
        with Subscriber("small", instance=instance, timeout=PATIENCE) as subscriber:
            for number in range(100):
                publisher.write(bytes([number]) * 10_000, key=True)
            frame = subscriber.read()
            say(f"read {frame.seq if frame else None} after {subscriber.lost} lost")


def fork(instance: str) -> None:
    """Fork, end the copy, and go on."""
    publisher = Publisher("cam", codec="test", instance=instance, capacity=1 << 16)
    subscriber = Subscriber("cam", instance=instance, timeout=PATIENCE)
    copy = os.fork()
    if copy == 0:
        sys.exit()
    say(os.waitpid(copy, 0)[1])
    say(list_objects(instance_prefix(instance)) != [])
    publisher.write(b"still here", key=True)
    frame = subscriber.read()
    say(frame.payload.decode() if frame else "end")


ROLES: dict[str, Callable[..., None]] = {
    "publish": publish,
    "read": read,
    "answer": answer,
    "crowd": crowd,
    "fork": fork,
}


def main() -> None:
    role, *arguments = sys.argv[1:]
    ROLES[role](*arguments)


if __name__ == "__main__":
    main()
