"""The supervisor with real processes, whose workers are fake."""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import psutil
import pytest

from bus.reclaim import reclaim
from tests.platforms import posix_only
from tests.relay.conftest import FakeRelay
from workers.table import Column, WorkerState

pytestmark = posix_only

Start = Callable[..., FakeRelay]


def accepts(url: str) -> bool:
    """Whether the port takes connections, if only into the queue."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=30).close()
    except ConnectionRefusedError:
        return False
    return True


class TestStart:
    def test_says_once_that_it_is_ready_with_its_url_last(self, start_relay: Start) -> None:
        relay = start_relay()
        url = relay.wait_ready()
        assert accepts(url)
        assert relay.stop() == 0
        assert len([line for line in relay.lines if "ready on" in line]) == 1
        assert "2 workers (serve) ready on http://127.0.0.1:" in "\n".join(relay.lines)

    def test_fills_rows(self, start_relay: Start) -> None:
        relay = start_relay()
        relay.wait_ready()
        rows = relay.rows()
        assert [row[Column.SLOT] for row in rows] == [0, 1]
        assert [row[Column.GENERATION] for row in rows] == [1, 1]
        assert all(row.state is WorkerState.READY for row in rows)
        assert all(row[Column.RSS] > 0 for row in rows)
        assert {row[Column.PID] for row in rows} <= {each.pid for each in relay.descendants()}

    def test_refuses_an_instance_that_is_run_already(self, start_relay: Start) -> None:
        first = start_relay()
        first.wait_ready()
        second = start_relay()
        assert second.wait() == 1
        assert second.lines == [
            f"relay-supervisor: error: instance {first.instance!r} is already run by the "
            f"supervisor with pid {first.pid}; choose another name with --instance"
        ]
        assert len(first.worker_pids()) == 2

    def test_gives_up_when_workers_die_before_they_are_ready(self, start_relay: Start) -> None:
        relay = start_relay(server={"workers": 1, "engine": "crash"})
        assert relay.wait() == 1
        assert relay.lines[-1] == (
            "relay-supervisor: error: worker 0 did not start 3 times in a row: "
            "the last time it exited with code 7"
        )
        assert len([line for line in relay.lines if "exited with code 7 after" in line]) == 3

    def test_gives_up_at_once_when_a_worker_says_that_it_cannot(self, start_relay: Start) -> None:
        relay = start_relay(server={"workers": 1, "engine": "cannot"})
        assert relay.wait() == 3
        assert relay.lines[-1].startswith("relay-supervisor: error: worker 0 cannot start")

    def test_a_worker_that_is_never_ready_counts_as_failed(self, start_relay: Start) -> None:
        relay = start_relay(
            server={"workers": 1, "engine": "silent"},
            supervision={"start_timeout": 0.5, "crash_limit": 1},
        )
        assert relay.wait() == 1
        relay.wait_line(r"worker 0 \(pid \d+\) is not ready after \d+ s and is killed")


class TestDeath:
    def test_a_killed_worker_is_replaced_and_the_port_stays_open(self, start_relay: Start) -> None:
        relay = start_relay()
        url = relay.wait_ready()
        first, second = relay.worker_pids()
        os.kill(first, signal.SIGKILL)
        line = relay.wait_line(rf"worker 0 \(pid {first}\) was killed by SIGKILL after \d")
        assert accepts(url)
        relay.wait_line("worker 0 .* is ready", line)
        rows = relay.rows()
        assert [row[Column.RESTARTS] for row in rows] == [1, 0]
        assert [row[Column.GENERATION] for row in rows] == [2, 1]
        assert rows[0][Column.PID] != first
        assert rows[1][Column.PID] == second

    def test_a_hanging_worker_is_killed_and_replaced(self, start_relay: Start) -> None:
        relay = start_relay(supervision={"hang_timeout": 1.0})
        relay.wait_ready()
        victim = relay.worker_pids()[1]
        os.kill(victim, signal.SIGSTOP)
        line = relay.wait_line(rf"worker 1 \(pid {victim}\) hangs \(no heartbeat for")
        line = relay.wait_line(rf"worker 1 \(pid {victim}\) hung and was killed", line)
        relay.wait_line("worker 1 .* is ready", line)

    def test_a_worker_asked_to_stop_is_replaced_first(self, start_relay: Start) -> None:
        relay = start_relay()
        relay.wait_ready()
        victim = relay.worker_pids()[0]
        os.kill(victim, signal.SIGTERM)
        line = relay.wait_line(rf"worker 0 \(pid {victim}\) was asked to stop and is replaced")
        line = relay.wait_line("worker 0 .* is ready", line)
        relay.wait_line(rf"worker 0 \(pid {victim}\) drained and left", line)

    def test_a_greedy_worker_is_replaced(self, start_relay: Start) -> None:
        relay = start_relay(
            server={"workers": 1, "engine": "greedy"}, supervision={"memory_limit": 128}
        )
        line = relay.wait_line("worker 0 .* MiB of memory, more than its limit and is replaced")
        line = relay.wait_line("worker 0 .* is ready", line)
        relay.wait_line("worker 0 .* drained and left", line)

    @pytest.mark.slow
    def test_no_number_of_killed_workers_stops_it(self, start_relay: Start) -> None:
        relay = start_relay(server={"workers": 2, "engine": "serve"})
        relay.wait_ready()
        choice = random.Random(7)
        line = 0
        for _ in range(15):
            victim = choice.choice(relay.worker_pids())
            os.kill(victim, signal.SIGKILL)
            line = relay.wait_line(rf"\(pid {victim}\) was killed by SIGKILL", line)
            line = relay.wait_line("is ready", line)
        assert relay.stop() == 0


class TestReload:
    def test_rolls_one_by_one_with_the_new_one_ready_first(self, start_relay: Start) -> None:
        relay = start_relay(viewer={"max_lag": 1.0})
        relay.wait_ready()
        old = relay.worker_pids()
        relay.configure(viewer={"max_lag": 2.0})
        relay.signal(signal.SIGHUP)
        line = relay.wait_line("SIGHUP: replacing all workers")
        for slot, pid in enumerate(old):
            ready = relay.wait_line(f"worker {slot} .* is ready", line)
            left = relay.wait_line(rf"worker {slot} \(pid {pid}\) drained and left", line)
            assert ready < left
            line = left
        relay.wait_line("all workers run with the new configuration", line)
        rows = relay.rows()
        assert [row[Column.FRAMES_SENT] for row in rows] == [2000, 2000]
        assert [row[Column.GENERATION] for row in rows] == [2, 2]
        assert [row[Column.RESTARTS] for row in rows] == [0, 0]

    def test_a_replacement_that_fails_changes_nothing(self, start_relay: Start) -> None:
        relay = start_relay()
        relay.wait_ready()
        old = relay.worker_pids()
        relay.configure(server={"engine": "crash"})
        relay.signal(signal.SIGHUP)
        line = relay.wait_line("the replacement of worker 0 did not start; 2 workers go on")
        assert relay.worker_pids() == old
        # The settings that failed are not used for restarts either.
        os.kill(old[0], signal.SIGKILL)
        relay.wait_line("worker 0 .* is ready", line)
        assert relay.stop() == 0

    def test_a_configuration_with_a_mistake_changes_nothing(self, start_relay: Start) -> None:
        relay = start_relay()
        relay.wait_ready()
        old = relay.worker_pids()
        relay.settings.write_text("{")
        relay.signal(signal.SIGHUP)
        relay.wait_line("the configuration is not reloaded: settings: Expecting")
        assert relay.worker_pids() == old

    def test_says_what_needs_a_new_start(self, start_relay: Start) -> None:
        relay = start_relay()
        relay.wait_ready()
        relay.configure(server={"workers": 3})
        relay.signal(signal.SIGHUP)
        line = relay.wait_line("a new value of workers takes effect when the relay is started")
        relay.wait_line("all workers run with the new configuration", line)
        assert len(relay.worker_pids()) == 2


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_drains_and_leaves_with_0(self, start_relay: Start, number: signal.Signals) -> None:
        relay = start_relay()
        url = relay.wait_ready()
        relay.signal(number)
        assert relay.wait() == 0
        assert len([line for line in relay.lines if "drained and left" in line]) == 2
        assert not accepts(url)

    def test_kills_what_does_not_drain_in_time(self, start_relay: Start) -> None:
        relay = start_relay(server={"engine": "stubborn"}, viewer={"drain_timeout": 0.1})
        relay.wait_ready()
        assert relay.stop() == 0
        relay.wait_line("did not stop in time and is killed")

    def test_a_second_signal_kills_at_once(self, start_relay: Start) -> None:
        relay = start_relay(server={"engine": "stubborn"}, viewer={"drain_timeout": 1000.0})
        relay.wait_ready()
        relay.signal(signal.SIGINT)
        relay.wait_line("SIGINT: stopping")
        relay.signal(signal.SIGTERM)
        assert relay.wait() == 0
        relay.wait_line("SIGTERM: stopping at once")

    def test_the_same_signal_twice_at_once_is_one(self, start_relay: Start) -> None:
        relay = start_relay()
        relay.wait_ready()
        relay.signal(signal.SIGINT)
        relay.signal(signal.SIGINT)
        assert relay.wait() == 0
        relay.wait_line("drained and left")

    def test_stops_in_the_middle_of_the_start(self, start_relay: Start) -> None:
        relay = start_relay(server={"engine": "silent", "log_level": "debug"})
        relay.wait_line("worker 1 .* started")
        assert relay.stop() == 0

    def test_its_own_death_leaves_nobody(self, start_relay: Start) -> None:
        relay = start_relay()
        relay.wait_ready()
        family = relay.descendants()
        assert len(family) >= 2
        relay.signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not alive
        relay.wait()
        reclaim(relay.instance)
