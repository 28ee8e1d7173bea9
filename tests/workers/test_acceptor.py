"""Several workers on one listener: even, and nobody refused whatever becomes of a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.platforms import posix_only
from tests.workers.client import Client
from tests.workers.crowd import Crowd
from tests.workers.harness import Fleet, private_instance, wait_until
from tests.workers.scene import stage
from workers.settings import Limits, ViewerSettings
from workers.table import Column

Starter = Callable[..., Fleet]


def viewers(fleet: Fleet) -> list[int]:
    return [worker.row[Column.VIEWERS] for worker in fleet.workers]


def settled(fleet: Fleet, count: int) -> list[int]:
    """Viewers of each worker, once they are ``count`` together."""
    wait_until(lambda: fleet.total(Column.VIEWERS) == count, f"{count} viewers")
    # Who left may still be about to close, and counts so long.
    wait_until(lambda: fleet.total(Column.CONNECTIONS) == count, f"{count} connections")
    return viewers(fleet)


@pytest.fixture(scope="module")
def four_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Four workers for tests that leave them as they found them."""
    log = tmp_path_factory.mktemp("workers") / "workers.log"
    with private_instance() as name, Fleet(name, log, workers=4) as fleet:
        yield fleet


class TestBalance:
    """The busiest worker has at most a tenth more than the idlest."""

    @pytest.mark.parametrize("arrive", [Crowd.trickle, Crowd.burst])
    def test_four_workers(self, four_workers: Fleet, arrive: Callable[[Crowd, int], None]) -> None:
        with Crowd(four_workers.port) as crowd:
            arrive(crowd, 400)
            counts = settled(four_workers, 400)
        assert crowd.lost == 0
        assert max(counts) / min(counts) <= 1.1, counts
        settled(four_workers, 0)

    def test_few_viewers_are_spread_too(self, four_workers: Fleet) -> None:
        with Crowd(four_workers.port) as crowd:
            crowd.trickle(8)
            assert settled(four_workers, 8) == [2, 2, 2, 2]
        settled(four_workers, 0)

    def test_who_lost_viewers_gets_the_next(self, start_fleet: Starter) -> None:
        fleet = start_fleet(workers=2)
        with Crowd(fleet.port) as crowd:
            crowd.trickle(40)
            assert settled(fleet, 40) == [20, 20]
            # Two in a row went to two workers: which of them is whose is not known here.
            crowd.leave(20)
            left = settled(fleet, 20)
            crowd.trickle(20)
            assert settled(fleet, 40) == [20, 20], left

    def test_a_new_worker_fills_up(self, start_fleet: Starter) -> None:
        fleet = start_fleet(workers=3)
        with Crowd(fleet.port) as crowd:
            crowd.burst(150)
            settled(fleet, 150)
            fleet.start().wait_ready()
            crowd.burst(50)
            counts = settled(fleet, 200)
        assert max(counts) / min(counts) <= 1.1, counts


class TestLosses:
    """A worker that hangs, dies or leaves takes no waiting connection with it."""

    # On Windows it keeps the one connection that it had asked the kernel for before it hung.
    @posix_only
    def test_one_hangs(self, start_fleet: Starter) -> None:
        fleet = start_fleet(workers=3)
        hung, *others = fleet.workers
        hung.suspend()
        with Crowd(fleet.port) as crowd:
            # Its count is the smallest of all; its heartbeat says that it does not count.
            crowd.burst(400)
            assert crowd.lost == 0
            wait_until(
                lambda: sum(worker.row[Column.VIEWERS] for worker in others) == 400, "all taken"
            )
            counts = [worker.row[Column.VIEWERS] for worker in others]
            assert max(counts) / min(counts) <= 1.1, counts
            hung.resume()
            before = hung.row[Column.HEARTBEAT_NS]
            wait_until(lambda: hung.row[Column.HEARTBEAT_NS] != before, "awake")
            crowd.trickle(20)
            assert settled(fleet, 420)[0] == 20

    def test_one_is_killed_in_a_burst(self, start_fleet: Starter) -> None:
        fleet = start_fleet(workers=4)
        victim = fleet.workers[0]
        with Crowd(fleet.port) as crowd:
            # Knocking raises when a connection is refused.
            crowd.knock(250)
            wait_until(lambda: victim.row[Column.ACCEPTED] > 5, "the victim has accepted some")
            victim.kill()
            crowd.knock(250)
            crowd.enter()
            assert crowd.lost <= victim.row[Column.ACCEPTED]
            crowd.burst(50)
            assert len(crowd.viewers) >= 550 - victim.row[Column.ACCEPTED]
        assert victim.join() != 0

    def test_one_leaves_in_order(self, start_fleet: Starter) -> None:
        fleet = start_fleet(workers=2)
        leaving, staying = fleet.workers
        leaving.drain()
        assert leaving.join() == 0
        # A listener that is shut down by one is shut down for all.
        with Crowd(fleet.port) as crowd:
            crowd.burst(50)
            assert crowd.lost == 0
            wait_until(lambda: staying.row[Column.VIEWERS] == 50, "all at the other")

    def test_one_leaves_in_a_burst(self, start_fleet: Starter) -> None:
        fleet = start_fleet(workers=3)
        leaving = fleet.workers[0]
        with Crowd(fleet.port) as crowd:
            crowd.knock(150)
            leaving.drain()
            crowd.knock(150)
            crowd.enter()
            # It closed what it had accepted; what waited was for the others.
            assert crowd.lost <= leaving.row[Column.ACCEPTED]
            assert len(crowd.viewers) + crowd.lost == 300
            crowd.leave(len(crowd.viewers))
        assert leaving.join() == 0


class TestLimits:
    """Limits delay or refuse, as each of them promises."""

    def test_the_rate_limit_delays_and_refuses_none(self, start_fleet: Starter) -> None:
        fleet = start_fleet(limits=Limits(max_accepts_per_second=50))
        began = time.monotonic()
        with Crowd(fleet.port) as crowd:
            crowd.burst(60)
            assert crowd.lost == 0
        # Ten for each tick of a fifth of a second: five ticks must have begun in between.
        assert time.monotonic() - began > 0.7

    def test_connections_of_one_address(self, start_fleet: Starter) -> None:
        fleet = start_fleet(
            limits=Limits(max_connections_per_address=5), viewer=ViewerSettings(close_timeout=1.0)
        )
        with stage(fleet) as scene, Crowd(fleet.port) as crowd:
            crowd.burst(5, source="127.0.0.2")
            # A browser shows its page the close code, and a person the page.
            viewer = scene.connect(source="127.0.0.2").upgrade("/view/quiet")
            assert viewer.read_close() == (1013, "too many connections from your address")
            viewer.expect_fin()
            status, headers, body = scene.http(b"GET / HTTP/1.1\r\n\r\n", source="127.0.0.2")
            assert (status, headers["retry-after"]) == (503, "5")
            assert body == b"too many connections from your address\n"
            scene.refused(Column.REFUSED_LIMIT, 2)
            crowd.burst(5, source="127.0.0.3")
            assert (len(crowd.viewers), crowd.lost) == (10, 0)
            while crowd.viewers:
                crowd.leave(1)
            wait_until(lambda: scene.row[Column.CONNECTIONS] == 1, "gone")
            crowd.burst(5, source="127.0.0.2")
            assert len(crowd.viewers) == 5

    def test_a_flood_from_one_address_is_not_answered_one_by_one(
        self, start_fleet: Starter
    ) -> None:
        fleet = start_fleet(limits=Limits(max_connections_per_address=1))
        with stage(fleet) as scene, ExitStack() as stack:
            flood = [Client(fleet.port, source="127.0.0.2") for _ in range(100)]
            for client in flood:
                stack.callback(client.close)
            # One is let in, 64 may ask and be told, the rest is closed.
            scene.refused(Column.REFUSED_LIMIT, 35)
            assert scene.row[Column.CONNECTIONS] == 1 + 1 + 64
            with Crowd(fleet.port) as crowd:
                crowd.burst(1, source="127.0.0.3")
                assert crowd.lost == 0
            scene.exchange()

    @posix_only
    def test_no_descriptors_left_is_a_pause_and_no_refusal(self, start_fleet: Starter) -> None:
        resource = pytest.importorskip("resource")
        fleet = start_fleet()
        pid = fleet.worker.pid
        with stage(fleet) as scene, Crowd(fleet.port) as crowd:
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            tight = fleet.worker.descriptors() + 5
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (tight, hard))
            crowd.knock(20)
            wait_until(lambda: scene.row[Column.FULL], "full")
            scene.exchange()
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
            crowd.enter()
            assert scene.row[Column.FULL] == 0
            assert scene.count(Column.ACCEPT_ERRORS) == 0
            assert (len(crowd.viewers), crowd.lost) == (20, 0)
        assert fleet.log().count("cannot accept") == 1

    def test_a_storm_of_resets_keeps_the_listener(self, start_fleet: Starter) -> None:
        fleet = start_fleet()
        with stage(fleet) as scene:
            for _ in range(300):
                Client(fleet.port).reset()
            with Crowd(fleet.port) as crowd:
                crowd.burst(1)
                assert crowd.lost == 0
            scene.exchange()
