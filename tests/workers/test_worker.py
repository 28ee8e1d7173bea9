"""A worker's life: it says that it is ready, it lives, it leaves when told or left alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from bus.names import workers_object
from bus.segment import list_objects
from tests.platforms import WINDOWS
from tests.workers.client import Client
from tests.workers.crowd import Crowd
from tests.workers.harness import Fleet, wait_until
from tests.workers.scene import stage
from tests.workers.test_ingest import HELLO
from workers.settings import ViewerSettings
from workers.table import ENGINES, Column, WorkerState, WorkerTable

Starter = Callable[..., Fleet]


class TestLiving:
    """What others see of a worker in the table."""

    def test_its_row_tells_that_it_is_ready(self, start_fleet: Starter) -> None:
        fleet = start_fleet(workers=2)
        table = WorkerTable.attach(fleet.instance)
        rows = table.rows()
        assert [row[Column.SLOT] for row in rows] == [0, 1]
        for row, worker in zip(rows, fleet.workers, strict=True):
            assert row.state is WorkerState.READY
            assert row[Column.PID] == worker.pid
            assert row.engine in ENGINES[1:]
            assert row.heartbeat_age < 60
        table.close()

    def test_its_heart_beats(self, start_fleet: Starter) -> None:
        row = start_fleet().worker.row
        for _ in range(3):
            before = row[Column.HEARTBEAT_NS]
            wait_until(lambda before=before: row[Column.HEARTBEAT_NS] > before, "a heartbeat")  # type: ignore[misc]
            assert row[Column.HEARTBEAT_NS] <= time.monotonic_ns()

    @pytest.mark.slow
    def test_idle_it_costs_nothing(self, start_fleet: Starter) -> None:
        fleet = start_fleet()
        worker = fleet.worker
        with Crowd(fleet.port) as crowd:
            crowd.burst(100)
            wait_until(lambda: worker.row[Column.VIEWERS] == 100, "all there")
            cpu, beat = worker.cpu_seconds(), worker.row[Column.HEARTBEAT_NS]
            wait_until(lambda: worker.row[Column.HEARTBEAT_NS] - beat > 3_000_000_000, "3 s")
            assert worker.cpu_seconds() - cpu < 0.1


class TestDraining:
    """Told to stop: 1012 to everybody, then exit code 0."""

    def test_peers_are_told_to_come_back(self, start_fleet: Starter) -> None:
        fleet = start_fleet()
        worker = fleet.worker
        viewer = Client(fleet.port).upgrade("/view/quiet")
        viewer.expect("ended")
        publisher = Client(fleet.port).upgrade("/publish/remote")
        publisher.say(HELLO)
        publisher.expect("ok")
        # Open and silent, as browsers leave them.
        unused = Client(fleet.port)
        wait_until(lambda: worker.row[Column.CONNECTIONS] == 3, "all accepted")
        worker.drain()
        for client in (viewer, publisher):
            assert client.read_close() == (1012, "this worker is stopping")
            assert worker.row[Column.STATE] == WorkerState.DRAINING
            client.expect_fin()
            client.close()
        unused.expect_fin()
        assert worker.join() == 0
        unused.close()
        assert worker.row[Column.CONNECTIONS] == 0
        assert worker.row[Column.PUBLISHERS] == 0

    def test_who_was_accepted_before_is_answered_still(self, start_fleet: Starter) -> None:
        fleet = start_fleet()
        with Client(fleet.port) as reader, Client(fleet.port) as viewer:
            wait_until(lambda: fleet.worker.row[Column.CONNECTIONS] == 2, "both accepted")
            fleet.worker.drain()
            wait_until(lambda: fleet.worker.row[Column.STATE] == WorkerState.DRAINING, "told")
            reader.send(b"GET / HTTP/1.1\r\n\r\n")
            viewer.upgrade("/view/quiet")
            assert reader.read_all().startswith(b"HTTP/1.1 200 ")
            reader.assert_no_reset()
            viewer.expect("ended")
            assert viewer.read_close() == (1012, "this worker is stopping")
            viewer.expect_fin()
        assert fleet.worker.join() == 0

    def test_without_peers_it_leaves_at_once(self, start_fleet: Starter) -> None:
        worker = start_fleet().worker
        # Longer than the watchdog: it does not wait for this.
        worker.drain(600.0)
        assert worker.join() == 0

    def test_a_page_that_is_being_read_is_finished(self, start_fleet: Starter) -> None:
        fleet = start_fleet()
        with Client(fleet.port, receive_buffer=8192) as reader:
            reader.send(b"GET /big HTTP/1.1\r\n\r\n")
            head = reader.sock.recv(1000)
            fleet.worker.drain()
            assert len(head + reader.read_all()) > 8 << 20
        assert fleet.worker.join() == 0

    def test_peers_that_do_not_answer_are_cut_off_at_the_deadline(
        self, start_fleet: Starter
    ) -> None:
        fleet = start_fleet(viewer=ViewerSettings(close_timeout=600.0))
        with Crowd(fleet.port) as crowd:
            crowd.burst(20)
            fleet.worker.drain(0.3)
            assert fleet.worker.join() == 0
        assert "20 peers did not close in time" in fleet.log()

    def test_a_second_order_changes_nothing(self, start_fleet: Starter) -> None:
        fleet = start_fleet()
        with Client(fleet.port) as client:
            client.upgrade("/view/quiet").expect("ended")
            fleet.worker.drain()
            fleet.worker.drain()
            assert client.read_close()[0] == 1012
            client.expect_fin()
        assert fleet.worker.join() == 0

    def test_its_streams_are_let_go(self, start_fleet: Starter) -> None:
        """A worker that leaves is no reader any more, and its publishers are free again."""
        fleet = start_fleet(workers=2)
        with Client(fleet.port) as publisher:
            publisher.upgrade("/publish/remote").say(HELLO)
            publisher.expect("ok")
            (serving,) = [w for w in fleet.workers if w.row[Column.PUBLISHERS]]
            serving.drain()
            assert publisher.read_close()[0] == 1012
            # Not before: it would be for either of them to accept.
            with Client(fleet.port) as again:
                again.upgrade("/publish/remote").say(HELLO)
                again.expect("ok")
                publisher.close()
                assert serving.join() == 0


class TestOrphans:
    """Without a supervisor nobody would restart or stop it: it leaves, and clears up."""

    def test_the_supervisor_dies(self, start_fleet: Starter) -> None:
        fleet = start_fleet()
        fleet.expected_error = "the supervisor is gone"
        with Client(fleet.port) as client:
            client.upgrade("/view/quiet").expect("ended")
            fleet.worker.control.close()
            assert client.read_close()[0] == 1012
            client.expect_fin()
        assert fleet.worker.join() == 0
        assert workers_object(fleet.instance) not in list_objects("relay@")

    def test_with_peers_that_do_not_answer(self, start_fleet: Starter) -> None:
        fleet = start_fleet()
        fleet.expected_error = "the supervisor is gone"
        with Crowd(fleet.port) as crowd:
            crowd.burst(5)
            fleet.worker.control.close()
            assert fleet.worker.join() == 0


class TestStreamsAndWorkers:
    """One worker's end is no event for the viewers of another."""

    def test_a_viewer_of_another_worker_misses_nothing(self, start_fleet: Starter) -> None:
        fleet = start_fleet()
        with stage(fleet) as scene:
            second = fleet.start()
            second.wait_ready()
            if WINDOWS:
                # The first withdraws the request that it has under way.
                wait_until(lambda: fleet.workers[0].row[Column.GATED], "the first's gate closed")
            client = scene.connect()
            client.upgrade("/view/cam").expect("hello")
            assert second.row[Column.VIEWERS] == 1
            second.drain()
            assert client.read_close()[0] == 1012
            client.close()
            assert second.join() == 0
            scene.exchange()
            fleet.workers.remove(second)
            second.close()
