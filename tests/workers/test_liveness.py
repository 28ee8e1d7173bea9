"""Signs of life, on a clock of the test's own."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from workers.liveness import Due, Liveness
from workers.settings import ViewerSettings

SETTINGS = ViewerSettings(progress_timeout=10.0, ping_interval=20.0, ping_timeout=8.0)


class Way:
    """A channel as far as it is looked at."""

    def __init__(self) -> None:
        self.idle = True
        self.taken = 0

    def progress(self) -> int:
        return self.taken


class Peer:
    """A peer that is looked at whenever that is due."""

    def __init__(self) -> None:
        self.way = Way()
        self.life = Liveness(100.0)
        self.next = self.life.first_look(SETTINGS)

    def until(self, end: float) -> list[tuple[float, Due]]:
        """What was due by then, and when; nothing after a reset."""
        found: list[tuple[float, Due]] = []
        while self.next <= end:
            now = self.next
            due, self.next = self.life.look(self.way, now, SETTINGS)
            assert self.next > now
            if due is not Due.NOTHING:
                found.append((now, due))
            if due in (Due.STALLED, Due.SILENT):
                break
        return found


def test_who_says_nothing_is_asked_and_then_given_up() -> None:
    assert Peer().until(1000.0) == [(120.0, Due.PING), (128.0, Due.SILENT)]


def test_who_answers_is_asked_again_and_again() -> None:
    peer = Peer()
    pings: list[float] = []
    while len(pings) < 3:
        found = peer.until(peer.next)
        for now, due in found:
            assert due is Due.PING
            pings.append(now)
            peer.life.heard = now + 1.0
    assert pings == [120.0, 141.0, 162.0]


def test_who_talks_is_not_asked() -> None:
    peer = Peer()
    for now in range(100, 200, 10):
        peer.life.heard = float(now)
        assert peer.until(now + 9.9) == []


def test_who_takes_nothing_is_stalled_and_never_asked() -> None:
    peer = Peer()
    peer.way.idle = False
    # Since when it takes nothing is known from the first look on.
    assert peer.until(1000.0) == [(115.0, Due.STALLED)]


def test_who_takes_a_little_is_kept() -> None:
    peer = Peer()
    peer.way.idle = False
    for _ in range(100):
        peer.way.taken += 1
        assert peer.until(peer.next) == []


def test_a_new_frame_has_time_of_its_own() -> None:
    peer = Peer()
    peer.life.heard = 1000.0
    for _ in range(20):
        peer.way.idle = not peer.way.idle
        assert peer.until(peer.next) == []


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=60))
def test_nobody_who_shows_life_in_time_is_reset(steps: list[tuple[bool, bool, bool]]) -> None:
    peer = Peer()
    last_word = last_progress = 100.0
    for (idle, talks, takes), number in zip(steps, itertools.count(1), strict=False):
        now = peer.next
        peer.way.idle = idle
        if takes or idle:
            peer.way.taken = number
            last_progress = now
        if talks:
            peer.life.heard = last_word = now
        due, peer.next = peer.life.look(peer.way, now, SETTINGS)
        if due is Due.STALLED:
            assert not idle
            assert now - last_progress >= SETTINGS.progress_timeout
        if due is Due.SILENT:
            assert now - last_word >= SETTINGS.ping_interval + SETTINGS.ping_timeout
        if due in (Due.STALLED, Due.SILENT):
            return
