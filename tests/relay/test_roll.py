"""Replacing workers one by one, over processes that exist only in the test."""

from __future__ import annotations

from tests.relay.fleet_harness import EVER, NEVER, SUPERVISION, Harness, spec


def test_one_at_a_time_and_the_new_one_first(harness: Harness) -> None:
    old = list(harness.made)
    harness.fleet.roll(spec("new"), SUPERVISION)
    for each in old:
        new = harness.new()
        assert (new.slot, new.engine, each.drained) == (each.slot, "new", [])
        harness.ready(new)
        assert each.drained == [7.0]
        assert harness.fleet.all_ready
        harness.fleet.advance(NEVER)
        assert harness.fleet.rolling
        harness.die(each, code=0)
        harness.fleet.advance(NEVER)
    assert not harness.fleet.rolling
    assert len(harness.made) == 4


def test_a_replacement_that_dies_ends_it(harness: Harness) -> None:
    old = list(harness.made)
    harness.fleet.roll(spec("new"), SUPERVISION)
    harness.die(harness.new(), code=1)
    harness.fleet.advance(EVER)
    assert not harness.fleet.rolling
    assert harness.fleet.all_ready
    assert [each.drained for each in old] == [[], []]
    # Restarts go on with what is known to work.
    harness.die(old[0])
    harness.fleet.advance(EVER)
    assert harness.new().engine == "old"


def test_a_replacement_that_cannot_be_spawned_ends_it(harness: Harness) -> None:
    harness.no_process = True
    harness.fleet.roll(spec("new"), SUPERVISION)
    assert not harness.fleet.rolling
    assert harness.fleet.all_ready


def test_proven_settings_are_used_for_restarts(harness: Harness) -> None:
    first, second = harness.made
    harness.fleet.roll(spec("new"), SUPERVISION)
    harness.ready(harness.new())
    harness.die(second)
    harness.fleet.advance(EVER)
    assert harness.new().engine == "new"
    assert first.drained == [7.0]


def test_a_worker_that_dies_meanwhile_is_replaced_by_its_successor(harness: Harness) -> None:
    old = harness.made[0]
    harness.fleet.roll(spec("new"), SUPERVISION)
    new = harness.new()
    harness.die(old)
    harness.fleet.advance(EVER)
    assert len(harness.made) == 3
    harness.ready(new)
    harness.fleet.advance(NEVER)
    assert harness.new().slot == 1


def test_a_place_left_empty_by_both_is_filled(harness: Harness) -> None:
    old = harness.made[0]
    harness.fleet.roll(spec("new"), SUPERVISION)
    new = harness.new()
    harness.die(old)
    harness.die(new, code=1)
    harness.fleet.advance(EVER)
    process = harness.new()
    assert (process.slot, process.engine) == (0, "old")


def test_a_waiting_place_is_started_with_the_new_settings(harness: Harness) -> None:
    harness.die(harness.made[0])
    harness.fleet.roll(spec("new"), SUPERVISION)
    harness.fleet.advance(EVER)
    new = harness.new()
    assert (new.slot, new.engine) == (0, "new")
    harness.ready(new)
    assert harness.fleet.all_ready


def test_a_second_one_starts_over_behind_the_present_replacement(harness: Harness) -> None:
    first, second = harness.made
    harness.fleet.roll(spec("new"), SUPERVISION)
    harness.fleet.roll(spec("newer"), SUPERVISION)
    interim = harness.new()
    for old, slot, engine in ((first, 0, "new"), (interim, 0, "newer"), (second, 1, "newer")):
        new = interim if old is first else harness.new()
        assert (new.slot, new.engine) == (slot, engine)
        harness.ready(new)
        harness.die(old, code=0)
        harness.fleet.advance(NEVER)
    assert not harness.fleet.rolling


def test_a_worker_may_ask_to_be_replaced(harness: Harness) -> None:
    old = harness.made[0]
    for _ in range(2):
        harness.say(old, "recycle")
    harness.fleet.advance(NEVER)
    new = harness.new()
    assert (new.slot, new.engine) == (0, "old")
    harness.ready(new)
    harness.die(old, code=0)
    harness.fleet.advance(NEVER)
    assert not harness.fleet.rolling
    assert len(harness.made) == 3
