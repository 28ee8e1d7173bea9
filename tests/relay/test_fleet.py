"""The set of workers, over processes that exist only in the test."""

from __future__ import annotations

import dataclasses

from relay.fleet import MIB
from relay.restart_policy import Exit
from tests.relay.fleet_harness import EVER, NEVER, SUPERVISION, Harness, spec
from workers.certificate import Certificate
from workers.table import Column, WorkerTable


class TestStart:
    def test_is_ready_when_all_are(self, table: WorkerTable) -> None:
        harness = Harness(table, 2, SUPERVISION)
        assert not harness.fleet.all_ready
        harness.ready(harness.made[0])
        assert not harness.fleet.all_ready
        harness.ready(harness.made[1])
        assert harness.fleet.all_ready

    def test_gives_every_worker_a_row_of_its_own(self, harness: Harness) -> None:
        assert [each.row.index for each in harness.made] == [0, 1]

    def test_a_system_that_has_no_process_to_give_counts_as_a_failed_start(
        self, harness: Harness
    ) -> None:
        harness.no_process = True
        harness.die(harness.made[0])
        for _ in range(3):
            assert harness.fleet.failure is None
            harness.fleet.advance(EVER)
        assert "worker 0 did not start 3 times" in str(harness.fleet.failure)


class TestDeath:
    def test_frees_the_row_at_once_and_restarts(self, harness: Harness) -> None:
        old = harness.made[0]
        harness.die(old)
        assert len(harness.table.rows()) == 1
        assert not harness.fleet.all_ready
        harness.fleet.advance(EVER)
        new = harness.new()
        assert (new.slot, new.generation, new.row[Column.RESTARTS]) == (0, 2, 1)

    def test_waits_for_the_backoff(self, harness: Harness) -> None:
        harness.die(harness.made[0])
        harness.fleet.advance(EVER)
        harness.die(harness.new(), code=1)
        due = harness.fleet.next_due()
        assert due is not None
        harness.fleet.advance(due - 0.001)
        assert len(harness.made) == 3
        harness.fleet.advance(due)
        assert harness.new().slot == 0

    def test_last_words_come_before_the_death(self, harness: Harness) -> None:
        harness.die(harness.made[0])
        for _ in range(5):
            harness.fleet.advance(EVER)
            process = harness.new()
            process.messages = [{"type": "ready"}]
            # Ready and dead within one look: it did start.
            process.exit = Exit(1, ready=True)
            harness.fleet.handle({process.sentinel, process.control})
        assert harness.fleet.failure is None

    def test_a_crash_loop_is_a_failure(self, table: WorkerTable) -> None:
        harness = Harness(table, 1, SUPERVISION)
        for _ in range(3):
            assert harness.fleet.failure is None
            harness.die(harness.made[-1], code=5)
            harness.fleet.advance(EVER)
        failure = harness.fleet.failure
        assert failure is not None
        assert failure.exit_code == 1
        assert str(failure) == (
            "worker 0 did not start 3 times in a row: the last time it exited with code 5"
        )


class TestTick:
    def test_kills_what_hangs(self, harness: Harness) -> None:
        first, second = harness.made
        first.beat = 5.1
        second.beat = 4.9
        harness.fleet.kill_hung()
        assert (first.killed, second.killed) == ([True], [])

    def test_gives_a_start_its_own_time(self, harness: Harness) -> None:
        harness.die(harness.made[0])
        harness.fleet.advance(EVER)
        new = harness.new()
        new.beat = new.uptime = 29.0
        harness.fleet.kill_hung()
        assert new.killed == []
        new.uptime = 31.0
        harness.fleet.kill_hung()
        assert new.killed == [True]

    def test_replaces_what_needs_too_much_memory(self, harness: Harness) -> None:
        old = harness.made[1]
        old.memory = 101 * MIB
        harness.fleet.sample(1000.0)
        harness.fleet.advance(NEVER)
        new = harness.new()
        assert (new.slot, old.drained) == (1, [])
        harness.ready(new)
        assert old.drained == [7.0]
        harness.die(old, code=0)
        # The new one is as large, but has not lived a minute.
        new.memory = 101 * MIB
        harness.fleet.sample(1059.0)
        harness.fleet.advance(NEVER)
        assert len(harness.made) == 3
        harness.fleet.sample(1060.0)
        harness.fleet.advance(NEVER)
        assert harness.new().slot == 1

    def test_does_not_judge_a_worker_that_starts(self, table: WorkerTable) -> None:
        harness = Harness(table, 1, SUPERVISION)
        starting = harness.made[0]
        starting.memory = 101 * MIB
        harness.fleet.sample(1000.0)
        harness.ready(starting)
        harness.fleet.sample(1001.0)
        harness.fleet.advance(NEVER)
        assert len(harness.made) == 2


class TestStop:
    def test_drains_those_that_serve_and_kills_those_that_start(self, harness: Harness) -> None:
        harness.die(harness.made[0])
        harness.fleet.advance(EVER)
        starting, serving = harness.new(), harness.made[1]
        harness.fleet.drain()
        assert (serving.drained, serving.killed) == ([7.0], [])
        assert (starting.drained, starting.killed) == ([], [False])
        harness.die(starting)
        harness.die(serving, code=0)
        harness.fleet.advance(EVER)
        assert not harness.fleet.alive
        assert harness.fleet.failure is None
        assert len(harness.made) == 3

    def test_kills_after_the_deadline(self, harness: Harness) -> None:
        harness.fleet.drain()
        harness.fleet.advance(999.9)
        assert harness.made[0].killed == []
        assert harness.fleet.next_due() == 1000.0
        harness.fleet.advance(1000.0)
        assert harness.made[0].killed == [False]

    def test_ends_a_roll(self, harness: Harness) -> None:
        harness.fleet.roll(spec("new"), SUPERVISION)
        new = harness.new()
        harness.fleet.drain()
        assert not harness.fleet.rolling
        harness.die(new)
        harness.fleet.advance(EVER)
        assert len(harness.made) == 3


class TestOperators:
    def test_a_worker_that_is_taken_out_leaves_its_place_empty(self, harness: Harness) -> None:
        first, second = harness.made
        harness.fleet.take_out(0)
        assert first.drained == [7.0] and not second.drained
        harness.die(first, 0)
        harness.fleet.advance(EVER)
        assert len(harness.made) == 2
        harness.fleet.take_out(1)
        assert not second.drained, "the last one stays"
        harness.fleet.restart(0)
        assert harness.new().slot == 0

    def test_one_that_dies_after_its_return_is_replaced_again(self, harness: Harness) -> None:
        first, _ = harness.made
        harness.fleet.take_out(0)
        harness.die(first, 0)
        harness.fleet.restart(0)
        again = harness.new()
        harness.ready(again)
        harness.die(again)
        harness.fleet.advance(EVER)
        assert harness.new().slot == 0

    def test_a_restart_brings_the_successor_first(self, harness: Harness) -> None:
        first, _ = harness.made
        harness.fleet.restart(0)
        harness.fleet.advance(NEVER)
        successor = harness.new()
        assert successor.slot == 0 and not first.drained
        harness.ready(successor)
        assert first.drained

    def test_messages_reach_the_generation_that_is_meant(self, harness: Harness) -> None:
        first, second = harness.made
        harness.fleet.tell({"type": "kick"}, (0, 1))
        harness.fleet.tell({"type": "kick"}, (1, 2))
        harness.fleet.tell({"type": "stop"})
        assert first.told == [{"type": "kick"}, {"type": "stop"}]
        assert second.told == [{"type": "stop"}]

    def test_what_is_asked_of_the_owner_is_handed_on(self, harness: Harness) -> None:
        worker = harness.made[0]
        asked = {"type": "admin", "do": "reload"}
        worker.messages.append(asked)
        assert harness.fleet.handle({worker.control}) == [asked]

    def test_only_a_new_certificate_is_handed_to_workers_as_they_are(
        self, harness: Harness
    ) -> None:
        worker = harness.made[0]
        old = dataclasses.replace(spec("old"), certificate=Certificate(b"1"))
        new = dataclasses.replace(old, certificate=Certificate(b"2", 9))
        renew = harness.fleet.renew_certificate
        assert not renew(old, SUPERVISION), "there was no TLS before"
        harness.fleet._roll.spec = old
        assert not renew(old, SUPERVISION), "nothing is new"
        assert not renew(dataclasses.replace(new, engine="x"), SUPERVISION)
        assert not renew(new, dataclasses.replace(SUPERVISION, crash_limit=9))
        assert not worker.told
        assert renew(new, SUPERVISION)
        assert worker.told == [{"type": "certificate", "pem": b"2", "expires": 9}]
