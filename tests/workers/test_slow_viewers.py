"""Viewers and workers that fall behind real streams: they skip, are counted, and delay nobody."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from bus import Publisher
from bus.frame import Frame
from tests.platforms import posix_only
from tests.workers.client import Client
from tests.workers.harness import Fleet, wait_until
from tests.workers.scene import numbers, stage, watch
from workers.settings import ViewerSettings
from workers.table import Column

Starter = Callable[..., Fleet]


def feed(publisher: Publisher, fast: Client, frames: int, size: int, key_every: int) -> None:
    """Publish in step with a viewer that reads at once, which must get every frame."""
    for number in range(frames):
        seq = publisher.write(b"v" * size, key=number % key_every == 0)
        assert fast.picture().seq == seq


class TestSlowViewers:
    """They skip, and are counted, and never hold up anybody."""

    LAG = 0.3

    def test_a_slow_viewer_skips_to_a_key_frame(self, start_fleet: Starter) -> None:
        with stage(start_fleet(viewer=ViewerSettings(max_lag=self.LAG))) as scene:
            publisher = scene.publish("movie", "vp8")
            slow = scene.connect(receive_buffer=4096).upgrade("/view/movie")
            slow.expect("hello")
            fast = watch(scene, publisher)
            until = time.monotonic() + 3 * self.LAG
            # The slow one reads nothing for longer than the lag that it is allowed.
            while time.monotonic() < until:
                feed(publisher, fast, 10, 20_000, key_every=10)
            last = publisher.write(b"last", key=True)
            received: list[Frame] = []
            while not received or received[-1].seq != last:
                received.append(slow.picture())
            missed = 0
            for before, after in itertools.pairwise(received):
                gap = after.seq - before.seq - 1
                assert gap >= 0
                assert not gap or after.key
                missed += gap
            assert missed > 0
            scene.counted(Column.SKIPPED_NETWORK, missed)
            assert fast.picture().seq == last

    def test_a_stalled_viewer_is_closed_in_constant_memory(self, start_fleet: Starter) -> None:
        settings = ViewerSettings(
            progress_timeout=1.0, user_timeout=600.0, max_lag=0.3, window=1 << 20
        )
        with stage(start_fleet(viewer=settings)) as scene:
            publisher = scene.publish("movie", "vp8")
            fast = watch(scene, publisher)
            feed(publisher, fast, 200, 50_000, key_every=10)
            before = scene.fleet.worker.memory()
            stalled = [scene.connect(receive_buffer=4096) for _ in range(5)]
            for client in stalled:
                client.upgrade("/view/movie")
            published = 0
            # Enough to tell, on a machine however slow.
            while published <= 20 << 20 or scene.count(Column.CLOSED_STALLED) < len(stalled):
                feed(publisher, fast, 10, 50_000, key_every=10)
                published += 500_000
            assert scene.fleet.worker.memory() - before < 5 << 20
            scene.refused(Column.CLOSED_STALLED, len(stalled))
            wait_until(lambda: scene.row[Column.VIEWERS] == 2, "stalled viewers gone")

    @posix_only
    def test_a_viewer_of_whom_the_kernel_despairs_is_counted_as_stalled(
        self, start_fleet: Starter
    ) -> None:
        """TCP_USER_TIMEOUT ends a connection before the progress deadline does."""
        settings = ViewerSettings(progress_timeout=600.0, user_timeout=0.5)
        with stage(start_fleet(viewer=settings)) as scene:
            scene.busy_viewer()
            scene.refused(Column.CLOSED_STALLED)
            scene.gone()

    @pytest.mark.slow
    def test_a_viewer_that_makes_progress_is_kept(self, start_fleet: Starter) -> None:
        """One frame takes it much longer than the deadline, but it is never still."""
        settings = ViewerSettings(progress_timeout=1.0)
        with stage(start_fleet(viewer=settings)) as scene:
            publisher = scene.publish("movie", "vp8")
            slow = scene.connect(receive_buffer=32_768).upgrade("/view/movie")
            slow.expect("hello")
            size = 4_000_000
            publisher.write(b"v" * size, key=True)
            received, began = 0, time.monotonic()
            while received < size:
                received += len(slow.sock.recv(100_000))
                # Not more than a frame in three deadlines.
                time.sleep(max(0.0, began + 3.0 * received / size - time.monotonic()))
            assert time.monotonic() - began > 2 * settings.progress_timeout
            assert scene.row[Column.VIEWERS] == 2

    def test_little_hides_in_the_kernel(self, start_fleet: Starter) -> None:
        """TCP_NOTSENT_LOWAT: what a slow viewer has not got is still the worker's to skip."""
        settings = ViewerSettings(max_lag=600.0, unsent_low_water=64 * 1024)
        with stage(start_fleet(viewer=settings)) as scene:
            publisher = scene.publish("movie")
            stalled = scene.connect(receive_buffer=4096).upgrade("/view/movie")
            stalled.expect("hello")
            sent, read = scene.count(Column.FRAMES_SENT), scene.count(Column.FRAMES_IN)
            for _ in range(100):
                publisher.write(b"v" * 20_000)
            wait_until(lambda: scene.count(Column.FRAMES_IN) == read + 100, "ring read")
            # Three to fill what may wait there, one in flight, some in the viewer's window.
            assert scene.count(Column.FRAMES_SENT) - sent < 10


class TestLappedWorker:
    """A worker that was stopped while the ring went round."""

    def test_goes_on_at_a_key_frame_and_counts(self, start_fleet: Starter) -> None:
        with stage(start_fleet()) as scene:
            publisher = scene.publish("movie", "vp8", capacity=256 * 1024)
            client = watch(scene, publisher)
            publisher.write(b"key", key=True)
            assert client.picture().seq == 0
            scene.fleet.worker.suspend()
            for number in range(1, 101):
                publisher.write(b"d" * 10_000, key=number % 10 == 0)
            scene.fleet.worker.resume()
            first = client.picture()
            assert first.key
            assert first.seq > 1
            assert numbers(client.pictures(100 - first.seq)) == list(range(first.seq + 1, 101))
            lost = first.seq - 1
            scene.counted(Column.LAPPED_RECORDS, lost)
            scene.counted(Column.SKIPPED_WORKER, lost)
            assert scene.count(Column.CORRUPT_RECORDS) == 0

    def test_without_a_key_frame_it_waits_for_one(self, start_fleet: Starter) -> None:
        with stage(start_fleet()) as scene:
            publisher = scene.publish("movie", "vp8", capacity=256 * 1024)
            client = watch(scene, publisher)
            publisher.write(b"key", key=True)
            assert client.picture().seq == 0
            scene.fleet.worker.suspend()
            for _ in range(100):
                publisher.write(b"d" * 10_000)
            scene.fleet.worker.resume()
            wait_until(lambda: publisher.key_requested, "key frame asked for")
            publisher.write(b"delta")
            last = publisher.write(b"key", key=True)
            assert client.picture().seq == last
            # All that lie between are counted: lost in the ring, or of no use without it.
            scene.counted(Column.SKIPPED_WORKER, last - 1)
