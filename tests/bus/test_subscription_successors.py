"""Following a stream over its publishers: crashes, takeovers, successors, and what is reclaimed."""

from __future__ import annotations

import pytest

from bus.doorbell import Doorbell
from bus.frame import decode
from bus.layout import PUBLISHER_LOCK
from bus.readers import ReaderSlot, ReaderTable
from bus.reclaim import reclaim
from bus.ring import Record
from bus.stream import StreamSegment
from bus.subscription import Ended, Started, Subscription
from tests.bus.conftest import CAPACITY, TOKEN, Publish, crash, events


def test_a_crash_and_a_successor(subscription: Subscription, publish: Publish) -> None:
    first = publish(init=b"a")
    subscription.try_attach()
    first.write(b"1", key=True)
    assert events(subscription) == [("started", 1, b"a"), b"1"]
    assert subscription.check_publisher() is None
    crash(first)
    assert subscription.check_publisher() is Ended.DIED
    assert subscription.check_publisher() is None
    assert events(subscription) == []
    second = publish(init=b"b")
    second.write(b"2", key=True)
    assert events(subscription) == [("started", 2, b"b"), b"2"]
    crash(second)
    assert subscription.check_publisher() is Ended.DIED


def test_frames_left_by_the_dead_come_before_the_successor(
    subscription: Subscription, publish: Publish
) -> None:
    first = publish(init=b"a")
    first.write(b"1", key=True)
    subscription.try_attach()
    assert events(subscription) == [("started", 1, b"a"), b"1"]
    first.write(b"2")
    crash(first)
    publish(init=b"b").write(b"3", key=True)
    assert events(subscription) == [b"2", ("started", 2, b"b"), b"3"]
    assert subscription.lost == 0


def test_frames_of_a_publisher_that_was_never_met_are_dropped_and_counted(
    subscription: Subscription, publish: Publish
) -> None:
    """Nobody can decode them with its successor's init data."""
    first = publish(init=b"a")
    first.write(b"1", key=True)
    subscription.try_attach()
    assert events(subscription) == [("started", 1, b"a"), b"1"]
    crash(first)
    second = publish(init=b"b")
    for _ in range(3):
        second.write(b"left", key=True)
    crash(second)
    publish(init=b"c").write(b"2", key=True)
    started, record = subscription.poll(), subscription.poll()
    assert isinstance(started, Started)
    assert started.metadata.init == b"c"
    assert isinstance(record, Record)
    assert (decode(record.data).payload, record.lost) == (b"2", 3)
    assert subscription.lost == 3


def test_the_pictures_of_the_dead_are_no_live_stream(
    subscription: Subscription, publish: Publish
) -> None:
    first = publish()
    first.write(b"1", key=True)
    crash(first)
    assert subscription.try_attach()
    assert events(subscription) == []
    assert subscription.check_publisher() is None
    second = publish()
    second.write(b"2", key=True)
    assert events(subscription) == [("started", 2, b""), b"2"]


def test_a_successor_that_comes_while_a_reader_attaches_is_news(
    subscription: Subscription, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish()
    first.write(b"1", key=True)
    crash(first)
    alive = StreamSegment.publisher_alive

    def ask(segment: StreamSegment) -> bool:
        answer = alive(segment)
        monkeypatch.undo()
        publish(init=b"b")
        return answer

    monkeypatch.setattr(StreamSegment, "publisher_alive", ask)
    subscription.try_attach()
    assert events(subscription) == [("started", 2, b"b")]


def test_a_publisher_that_is_not_ready_yet_is_not_live(
    subscription: Subscription, publish: Publish
) -> None:
    """It inherited the segment; the metadata and the frames are still the dead one's."""
    first = publish(init=b"a")
    first.write(b"1", key=True)
    crash(first)
    stream = StreamSegment.attach(first.instance, "cam")
    assert stream.segment.try_lock(PUBLISHER_LOCK)
    stream.begin_epoch(1)
    subscription.try_attach()
    assert events(subscription) == []
    stream.close()


def test_a_dead_stream_that_is_replaced_has_not_ended(
    subscription: Subscription, publish: Publish
) -> None:
    first = publish()
    subscription.try_attach()
    events(subscription)
    crash(first)
    second = publish(capacity=2 * CAPACITY)
    second.write(b"2", key=True)
    assert events(subscription) == [Ended.REPLACED]
    assert subscription.try_attach()
    assert events(subscription) == [("started", 2, b""), b"2"]


def test_takeover(subscription: Subscription, publish: Publish) -> None:
    first = publish()
    subscription.try_attach()
    first.write(b"1", key=True)
    second = publish(takeover=True, init=b"b")
    assert events(subscription) == [("started", 1, b""), b"1", Ended.REPLACED]
    for payload in (b"K2", b"d", b"K3"):
        second.write(payload, key=payload.startswith(b"K"))
    assert subscription.try_attach()
    assert events(subscription) == [("started", 2, b"b"), b"K2", b"d", b"K3"]


def test_reclaim_leaves_a_dead_stream_to_its_readers(
    subscription: Subscription, publish: Publish, instance: str
) -> None:
    first = publish()
    first.write(b"1", key=True)
    subscription.try_attach()
    events(subscription)
    crash(first)
    assert reclaim(instance) == []
    publish().write(b"2", key=True)
    assert events(subscription) == [("started", 2, b""), b"2"]


def test_a_stream_that_is_reclaimed_while_a_reader_attaches_is_looked_up_again(
    subscription: Subscription, publish: Publish, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash(publish())
    claim = ReaderTable.claim

    def reclaimed_meanwhile(table: ReaderTable, bell: Doorbell, token: int) -> ReaderSlot:
        monkeypatch.undo()
        assert len(reclaim(instance)) == 1
        return claim(table, bell, token)

    monkeypatch.setattr(ReaderTable, "claim", reclaimed_meanwhile)
    assert subscription.try_attach()
    assert not subscription.sleep()
    assert events(subscription) == []
    assert not subscription.attached
    publish().write(b"2", key=True)
    assert subscription.try_attach()
    assert events(subscription) == [("started", 1, b""), b"2"]


def test_a_successor_rings(subscription: Subscription, publish: Publish, bell: Doorbell) -> None:
    crash(publish())
    subscription.try_attach()
    assert subscription.sleep()
    publish()
    assert bell.drain() == {TOKEN}
