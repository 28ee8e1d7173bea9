"""A doorbell that rings without end is listened to now and then; no ring is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from bus.doorbell import open_doorbell, open_ringer
from workers import moderation
from workers.moderation import ModeratedBell


class Bell:
    """A bell that rings at moments of its own clock."""

    id = 1

    def __init__(self) -> None:
        self.now = 100.0
        self.tokens: set[int] = set()
        self.callback: Callable[[], object] | None = None

    def monotonic(self) -> float:
        return self.now

    def ring(self, token: int, after: float) -> None:
        self.now += after
        self.tokens.add(token)
        if self.callback is not None:
            self.callback()

    def drain(self) -> set[int]:
        tokens, self.tokens = self.tokens, set()
        return tokens

    def attach(self, loop: object, callback: Callable[[], object]) -> None:
        self.callback = callback
        if self.tokens:
            callback()

    def detach(self) -> None:
        self.callback = None

    def wait(self, timeout: float | None) -> bool:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Loop:
    """A loop whose timers expire when the test says so."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(self.timers, callback)
        self.timers.append(timer)
        return timer

    def expire(self) -> None:
        self.timers.pop(0).callback()


class Timer:
    """One of them."""

    def __init__(self, timers: list[Timer], callback: Callable[[], object]) -> None:
        self._timers = timers
        self.callback = callback

    def cancel(self) -> None:
        self._timers.remove(self)


class Scene:
    """A moderated bell, and what was heard of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, fine: bool = True) -> None:
        self.bell, self.loop = Bell(), Loop()
        self.heard: list[set[int]] = []
        monkeypatch.setattr(moderation, "time", self.bell)
        monkeypatch.setattr(moderation, "_TIMERS_ARE_FINE", fine)
        self.moderated = ModeratedBell(self.bell, cast(Any, self.loop), self.heard.append)


def test_rings_that_leave_time_are_each_heard_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    for token in range(1, 100):
        scene.bell.ring(token, after=0.001)
    assert scene.heard == [{token} for token in range(1, 100)]
    assert not scene.loop.timers


def test_in_a_rush_rings_are_gathered_until_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.bell.ring(1, after=1)
    scene.bell.ring(2, after=0.0001)
    assert scene.heard == [{1}, {2}]
    for token in (3, 4, 5):
        scene.bell.ring(token, after=0.0001)
    assert len(scene.heard) == 2
    scene.loop.expire()
    assert scene.heard[2:] == [{3, 4, 5}]
    scene.bell.ring(6, after=0.0001)
    scene.loop.expire()
    assert scene.heard[3:] == [{6}]
    scene.loop.expire()
    assert not scene.loop.timers
    scene.bell.ring(7, after=0.0001)
    assert scene.heard[4:] == [{7}]


def test_a_ring_between_the_last_look_and_listening_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    scene.bell.ring(1, after=1)
    scene.bell.ring(2, after=0.0001)
    drain = scene.bell.drain

    def drain_and_ring() -> set[int]:
        tokens = drain()
        scene.bell.drain = drain  # type: ignore[method-assign]
        scene.bell.ring(3, after=0.01)
        return tokens

    scene.bell.drain = drain_and_ring  # type: ignore[method-assign]
    scene.loop.expire()
    assert scene.heard == [{1}, {2}, {3}]


def test_where_timers_are_coarse_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, fine=False)
    for token in range(1, 100):
        scene.bell.ring(token, after=0.0001)
    assert scene.heard == [{token} for token in range(1, 100)]


def test_closed_it_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for rings in (1, 2):
        scene = Scene(monkeypatch)
        for token in range(rings):
            scene.bell.ring(token, after=0.0001)
        scene.moderated.close()
        scene.bell.ring(9, after=1)
        assert not scene.loop.timers
        assert {9} not in scene.heard


def test_a_real_bell_in_a_real_rush(instance: str) -> None:
    async def main() -> None:
        loop, heard, more = asyncio.get_running_loop(), set[int](), asyncio.Event()

        def rung(tokens: set[int]) -> None:
            heard.update(tokens)
            more.set()

        bell, ringer = open_doorbell(instance), open_ringer(instance)
        moderated = ModeratedBell(bell, loop, rung)
        for token in range(1, 1001):
            ringer.ring(bell.id, token)
            if token % 7 == 0:
                await asyncio.sleep(0)
            if token % 100 == 0:
                while token not in heard:
                    more.clear()
                    await more.wait()
        assert heard == set(range(1, 1001))
        moderated.close()
        ringer.close()
        bell.close()

    asyncio.run(main())
