"""Following a stream: what is told, in which order, whatever happens to its publishers."""

from __future__ import annotations

import pytest

from bus.doorbell import Doorbell
from bus.frame import decode
from bus.layout import RECORD_HEADER, RING_OFFSET
from bus.publisher import Publisher
from bus.ring import Record, RingReader
from bus.stream import inspect_stream
from bus.subscription import Ended, Started, Subscription
from tests.bus.conftest import TOKEN, Publish, events


def test_nothing_yet(subscription: Subscription) -> None:
    assert not subscription.try_attach()
    assert not subscription.attached
    assert subscription.poll() is None
    assert subscription.check_publisher() is None
    assert subscription.sleep()
    subscription.want_key()
    subscription.set_viewers(3)


def test_life_of_a_stream(subscription: Subscription, publish: Publish) -> None:
    publisher = publish(init=b"i")
    assert subscription.try_attach()
    assert subscription.try_attach()
    publisher.write(b"1", key=True)
    assert events(subscription) == [("started", 1, b"i"), b"1"]
    publisher.write(b"2")
    publisher.write(b"3")
    assert events(subscription) == [b"2", b"3"]
    publisher.write(b"4")
    publisher.close()
    assert events(subscription) == [b"4", Ended.CLOSED]
    assert not subscription.attached
    assert (subscription.lost, subscription.corrupt) == (0, 0)


def test_a_record_can_be_read_again_while_its_publisher_is_there(
    subscription: Subscription, publish: Publish
) -> None:
    assert subscription.again(0) is None
    publisher = publish()
    subscription.try_attach()
    publisher.write(b"1", key=True)
    assert isinstance(subscription.poll(), Started)
    record = subscription.poll()
    assert isinstance(record, Record)
    publisher.write(b"2")
    assert subscription.again(record.position) == record.data
    publisher.close()
    events(subscription)
    assert subscription.again(record.position) is None


def test_started_is_told_before_the_first_frame(
    subscription: Subscription, publish: Publish
) -> None:
    publish(init=b"i")
    subscription.try_attach()
    assert events(subscription) == [("started", 1, b"i")]
    assert events(subscription) == []


def test_a_late_joiner_begins_at_the_newest_key_frame(
    subscription: Subscription, publish: Publish
) -> None:
    publisher = publish()
    for payload in (b"K1", b"d", b"K2", b"d2"):
        publisher.write(payload, key=payload.startswith(b"K"))
    subscription.try_attach()
    assert events(subscription) == [("started", 1, b""), b"K2", b"d2"]
    assert subscription.lost == 0


def test_who_waited_gets_the_first_frame(subscription: Subscription, publish: Publish) -> None:
    for epoch in range(2):
        assert not subscription.try_attach()
        publisher = publish()
        for payload in (b"K1", b"d", b"K2"):
            publisher.write(payload, key=payload.startswith(b"K"))
        subscription.try_attach()
        assert events(subscription) == [("started", 1, b""), b"K1", b"d", b"K2"], epoch
        publisher.close()
        assert events(subscription) == [Ended.CLOSED]


# New init data.


def test_new_init_data_comes_before_its_first_frame(
    subscription: Subscription, publish: Publish
) -> None:
    publisher = publish(init=b"a")
    publisher.write(b"1", key=True)
    subscription.try_attach()
    assert events(subscription) == [("started", 1, b"a"), b"1"]
    publisher.write(b"2")
    publisher.update(init=b"b")
    publisher.write(b"3", key=True)
    assert events(subscription) == [b"2", ("started", 1, b"b"), b"3"]
    publisher.update(init=b"c")
    assert events(subscription) == [("started", 1, b"c")]
    assert subscription.lost == 0


def test_frames_of_init_data_that_was_replaced_are_dropped_and_counted(
    subscription: Subscription, publish: Publish
) -> None:
    publisher = publish(init=b"a")
    publisher.write(b"1", key=True)
    subscription.try_attach()
    assert events(subscription) == [("started", 1, b"a"), b"1"]
    publisher.update(init=b"b")
    publisher.write(b"2", key=True)
    publisher.write(b"3")
    publisher.update(init=b"c")
    publisher.write(b"4")
    assert subscription.poll() == Started(publisher.metadata)
    record = subscription.poll()
    assert isinstance(record, Record)
    assert (decode(record.data).payload, record.lost) == (b"4", 2)
    assert subscription.lost == 2


def test_loss_before_news_is_told_with_the_record_after_it(
    subscription: Subscription, publish: Publish
) -> None:
    publisher = publish(init=b"a")
    publisher.write(b"1", key=True)
    subscription.try_attach()
    events(subscription)
    publisher.update(init=b"b")
    for _ in range(20):
        publisher.write(bytes(10_000))
    publisher.write(b"last")
    lost: list[int] = []
    kinds: list[type] = []
    while (event := subscription.poll()) is not None:
        kinds.append(type(event))
        if isinstance(event, Record):
            lost.append(event.lost)
    assert kinds == [Started, Record]
    assert lost == [20]
    assert subscription.lost == 20


def test_a_frame_written_just_before_a_change_is_not_dropped(
    subscription: Subscription, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = publish(init=b"a")
    subscription.try_attach()
    events(subscription)
    read = RingReader.read

    def empty_until_now(reader: RingReader) -> Record | None:
        record = read(reader)
        monkeypatch.undo()
        publisher.write(b"old", key=True)
        publisher.update(init=b"b")
        return record

    monkeypatch.setattr(RingReader, "read", empty_until_now)
    assert events(subscription) == [b"old", ("started", 1, b"b")]
    assert subscription.lost == 0


# Damage, viewers, requests.


def test_damage_is_counted_over_all_segments(subscription: Subscription, publish: Publish) -> None:
    for total in (1, 2):
        publisher = publish()
        subscription.try_attach()
        publisher.write(b"a" * 50, key=True)
        publisher.write(b"b" * 50, key=True)
        publisher._stream.segment.view[RING_OFFSET + RECORD_HEADER + 30] ^= 1
        assert events(subscription) == [("started", 1, b""), b"b" * 50]
        assert subscription.corrupt == total
        publisher.close()
        events(subscription)
        assert subscription.corrupt == total


def test_viewers_are_told_to_every_segment(
    subscription: Subscription, publish: Publish, instance: str
) -> None:
    subscription.set_viewers(4)
    for _ in range(2):
        publisher = publish()
        subscription.try_attach()
        assert inspect_stream(instance, "cam").viewers == 4
        publisher.close()
        events(subscription)
    publish()
    subscription.try_attach()
    subscription.set_viewers(9)
    assert inspect_stream(instance, "cam").viewers == 9
    subscription.close()
    assert inspect_stream(instance, "cam").viewers == 0


def test_want_key_and_clock_offset(subscription: Subscription, publish: Publish) -> None:
    publisher = publish()
    assert subscription.clock_offset_us == 0
    publisher.set_clock_offset(-7)
    subscription.try_attach()
    assert subscription.clock_offset_us == -7
    subscription.want_key()
    assert publisher.key_requested


# Sleep.


def test_sleep_is_refused_while_there_is_something(
    subscription: Subscription, publish: Publish, bell: Doorbell
) -> None:
    publisher = publish()
    subscription.try_attach()
    assert not subscription.sleep(), "the start is still untold"
    events(subscription)
    assert subscription.sleep()
    publisher.write(b"1", key=True)
    assert bell.drain() == {TOKEN}
    assert not subscription.sleep()
    events(subscription)
    publisher.update(init=b"b")
    assert not subscription.sleep()
    events(subscription)
    publisher.write(b"2", key=True)
    assert bell.drain() == set(), "refused sleep wants no ring"
    events(subscription)
    publisher.close()
    assert not subscription.sleep()
    assert events(subscription) == [Ended.CLOSED]


def test_the_end_rings(subscription: Subscription, publish: Publish, bell: Doorbell) -> None:
    for end in (Publisher.close, lambda _: publish(takeover=True)):
        publisher = publish()
        subscription.try_attach()
        events(subscription)
        assert subscription.sleep()
        end(publisher)
        assert bell.drain() == {TOKEN}
        events(subscription)
