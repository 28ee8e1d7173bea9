"""Differences between looks, and events on the time axis."""

from __future__ import annotations

from typing import Any

from relay.load.counts import Counts
from relay.load.histogram import Histogram
from relay.load.mix import Kind, Mix
from relay.load.retry import retry_delay
from relay.load.samples import Generator, RelayState, Timeline


def row(slot: int, pid: int, restarts: int = 0) -> dict[str, Any]:
    return {"slot": slot, "pid": pid, "restarts": restarts}


def stream(epoch: int, *, live: bool = True, frames: int = 9) -> dict[str, Any]:
    return {"name": "cam", "live": live, "epoch": epoch, "frames": frames}


def look(timeline: Timeline, at: float, *workers: dict[str, Any], streams: Any = ()) -> None:
    state = RelayState(bool(workers), "e", list(workers), list(streams))
    timeline.look(at, at, Counts(), Histogram(), state, Generator())


def events(timeline: Timeline) -> list[tuple[float, str]]:
    return [(each.at, each.what) for each in timeline.events]


def test_rates_are_of_the_last_interval() -> None:
    timeline = Timeline()
    early, late = Histogram(), Histogram()
    for value in (5000, 5000):
        early.add(value)
    late.merge(early.counts)
    late.add(90_000)
    timeline.look(1.5, 1, Counts(frames=10, bytes=1000), early, RelayState(), Generator())
    sample = timeline.look(3, 3, Counts(frames=70, bytes=5000), late, RelayState(), Generator())
    assert sample.fps == 30
    assert sample.gbps == 4000 * 8 / 2 / 1e9
    assert sample.p50 is not None
    assert 89 < sample.p50 < 91


def test_a_crashed_worker_and_a_replaced_one() -> None:
    timeline = Timeline()
    look(timeline, 1, row(0, 100), row(1, 101))
    look(timeline, 2, row(0, 102, restarts=1), row(1, 101), row(1, 103))
    look(timeline, 3, row(0, 102, restarts=1), row(1, 101), row(1, 103))
    look(timeline, 4, row(0, 102, restarts=1), row(1, 103))
    assert events(timeline) == [(2, "worker 0 restarted"), (2, "worker 1 replaced")]


def test_a_publisher_goes_and_comes_back() -> None:
    timeline = Timeline()
    look(timeline, 1, row(0, 1), streams=[stream(1)])
    look(timeline, 2, row(0, 1), streams=[stream(1, live=False)])
    look(timeline, 3, row(0, 1), streams=[stream(1, live=False)])
    look(timeline, 4, row(0, 1), streams=[stream(2)])
    assert events(timeline) == [(2, "cam: publisher gone"), (4, "cam: publisher reconnected")]


def test_a_remote_stream_that_begins_for_its_first_viewer_is_no_event() -> None:
    timeline = Timeline()
    look(timeline, 1, row(0, 1), streams=[stream(1, frames=0)])
    look(timeline, 2, row(0, 1), streams=[stream(2, frames=5)])
    assert timeline.events == []


def test_a_relay_that_falls_silent() -> None:
    timeline = Timeline()
    look(timeline, 1, row(0, 1))
    look(timeline, 2)
    look(timeline, 3)
    look(timeline, 4, row(0, 1))
    assert events(timeline) == [(2, "no answer"), (4, "the relay answers again")]


def test_sums_since() -> None:
    before = Counts(connected=5, frames=10)
    before.trouble("lost", "x")
    after = Counts()
    after.add(before)
    after.add(Counts(connected=2, frames=3))
    after.trouble("lost", "x")
    found = after.since(before)
    assert (found.connected, found.frames, found.lost) == (7, 3, 1)
    assert found.reasons == {"lost: x": 1}


def test_shares_of_a_mix_hold_in_every_range() -> None:
    mix = Mix(slow=0.1, hidden=0.2, half_open=0.05)
    for start in (0, 5000):
        kinds = [mix.kind_of(number) for number in range(start, start + 1000)]
        assert abs(kinds.count(Kind.SLOW) - 100) < 5
        assert abs(kinds.count(Kind.HIDDEN) - 200) < 5
        assert abs(kinds.count(Kind.HALF_OPEN) - 50) < 5


def test_viewers_come_back_as_the_player_does() -> None:
    assert retry_delay(1008, 0, 0.5) is None
    assert retry_delay(1012, 0, 0.5) == 0.25
    assert retry_delay(1006, 0, 1.0) == 0.25
    assert retry_delay(1006, 3, 1.0) == 2.0
    assert retry_delay(1006, 1000, 1.0) == 8.0
    assert retry_delay(1013, 0, 0.0) == 2.0
