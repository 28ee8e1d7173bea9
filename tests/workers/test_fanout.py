"""Frames of several streams go out together, and nothing overtakes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bus import Publisher
from bus.directory import DIRECTORY_TOKEN
from bus.doorbell import open_doorbell
from tests.workers.hub_fakes import FakeEngine, FakeGroup, FakeRow, FakeViewer
from workers.engines.interface import Group
from workers.fanout import Fanout
from workers.row_histogram import SEND_DELAY
from workers.services import StreamServices
from workers.settings import Limits, ViewerSettings
from workers.table import Column


class Engine(FakeEngine):
    """Remembers what was sent together."""

    def __init__(self, *, slow: bool = False) -> None:
        super().__init__(slow=slow)
        self.broadcasts: list[list[bytes]] = []

    def broadcast(self, frames: Sequence[tuple[Group, bytes]]) -> list[int]:
        self.broadcasts.append([data for _, data in frames])
        super().broadcast(frames)
        return [10 for _ in frames]


class TestFanout:
    """What waits for what."""

    @pytest.fixture
    def engine(self) -> Engine:
        return Engine()

    @pytest.fixture
    def row(self) -> FakeRow:
        return FakeRow()

    @pytest.fixture
    def fanout(self, engine: Engine, row: FakeRow) -> Fanout:
        return Fanout(engine, row)  # type: ignore[arg-type]

    def test_alone_a_frame_goes_out_at_once(self, engine: Engine, fanout: Fanout) -> None:
        fanout.send(FakeGroup(), b"one", 0.0)
        fanout.send(FakeGroup(), b"two", 0.0)
        assert engine.broadcasts == [[b"one"], [b"two"]]

    def test_gathered_frames_go_out_together(self, engine: Engine, fanout: Fanout) -> None:
        fanout.gather()
        for data in (b"one", b"two", b"three"):
            fanout.send(FakeGroup(), data, 0.0)
        assert engine.broadcasts == []
        fanout.finish()
        fanout.finish()
        assert engine.broadcasts == [[b"one", b"two", b"three"]]
        fanout.send(FakeGroup(), b"four", 0.0)
        assert engine.broadcasts[1:] == [[b"four"]]

    def test_a_flush_lets_later_frames_gather(self, engine: Engine, fanout: Fanout) -> None:
        fanout.gather()
        fanout.flush()
        fanout.send(FakeGroup(), b"one", 0.0)
        fanout.flush()
        fanout.send(FakeGroup(), b"two", 0.0)
        fanout.finish()
        assert engine.broadcasts == [[b"one"], [b"two"]]

    def test_no_more_than_some_wait(self, engine: Engine, fanout: Fanout) -> None:
        fanout.gather()
        for number in range(100):
            fanout.send(FakeGroup(), b"%d" % number, 0.0)
        assert [len(frames) for frames in engine.broadcasts] == [32, 32, 32]
        fanout.finish()
        sent = [data for frames in engine.broadcasts for data in frames]
        assert sent == [b"%d" % number for number in range(100)]

    def test_no_more_than_some_bytes_wait(self, engine: Engine, fanout: Fanout) -> None:
        fanout.gather()
        for _ in range(5):
            fanout.send(FakeGroup(), bytes(400_000), 0.0)
        assert [len(frames) for frames in engine.broadcasts] == [3]

    def test_all_are_counted(self, row: FakeRow, fanout: Fanout) -> None:
        fanout.gather()
        fanout.send(FakeGroup(), b"four", 0.0)
        fanout.send(FakeGroup(), b"eleven bytes", 0.0)
        assert row.counts[Column.FRAMES_SENT] == 0
        fanout.finish()
        assert row.counts[Column.FRAMES_SENT] == 20
        assert row.counts[Column.BYTES_SENT] == 10 * (4 + 12)
        assert sum(row.counts[column] for column in SEND_DELAY.columns) == 20


class Worker:
    """The streams of a worker, and viewers on fakes.

    Attributes:
        services: under test.
        engine: its engine.
    """

    def __init__(self, instance: str, bell: Any, *, slow: bool) -> None:
        self.engine = Engine(slow=slow)
        self.services = StreamServices(
            instance,
            bell=bell,
            engine=self.engine,
            row=FakeRow(),  # type: ignore[arg-type]
            limits=Limits(),
            settings=ViewerSettings(),
        )
        self._viewers = 0

    def view(self, stream: str) -> FakeViewer:
        """Somebody comes."""
        self._viewers += 1
        stage: Any = SimpleNamespace(engine=self.engine)
        viewer = FakeViewer(stage)
        watcher: Any = viewer
        stage.hub = self.services.join(stream, watcher, self._viewers, "127.0.0.1", b"")
        return viewer


@contextlib.contextmanager
def working(instance: str, *, slow: bool = False) -> Iterator[Worker]:
    with contextlib.closing(open_doorbell(instance)) as bell:
        worker = Worker(instance, bell, slow=slow)
        try:
            yield worker
        finally:
            worker.services.close()


def in_loop(test: Callable[[], None]) -> None:
    async def scenario() -> None:
        test()

    asyncio.run(scenario())


def test_streams_that_ring_together_are_sent_together(instance: str) -> None:
    def test() -> None:
        with (
            Publisher("a", codec="vp8", instance=instance) as first,
            Publisher("b", codec="vp8", instance=instance) as second,
            working(instance) as worker,
        ):
            viewers = [worker.view("a"), worker.view("b"), worker.view("b")]
            for key in (True, False):
                first.write(b"first", key=key)
                second.write(b"second", key=key)
                worker.engine.broadcasts.clear()
                worker.services.rung({1, 2})
            assert [len(frames) for frames in worker.engine.broadcasts] == [2]
            assert [viewer.numbers for viewer in viewers] == [[0, 1]] * 3

    in_loop(test)


def test_a_stream_looked_at_twice_in_a_turn_keeps_its_order(instance: str) -> None:
    """By its own ring, and because the set of streams has changed."""

    def test() -> None:
        with (
            Publisher("a", codec="vp8", instance=instance) as publisher,
            working(instance, slow=True) as worker,
        ):
            viewer = worker.view("a")
            publisher.write(b"0", key=True)
            worker.services.rung({1})
            viewer.fake.complete()
            publisher.write(b"1", key=False)
            worker.services.on_ring(7, lambda: publisher.write(b"2", key=False))
            worker.services.rung([1, 7, DIRECTORY_TOKEN, 7, 1])
            for _ in range(4):
                viewer.fake.complete()
            assert viewer.numbers == [0, 1, 2, 3]

    in_loop(test)
