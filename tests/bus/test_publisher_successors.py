"""One publisher a stream: who else comes is refused, takes it over, or follows after a crash."""

from __future__ import annotations

import os

import pytest

from bus import (
    StreamBusy,
    Subscriber,
    TakenOver,
)
from bus.stream import inspect_stream
from tests.bus.conftest import CAPACITY, Publish, read
from tests.bus.processes import Child
from tests.platforms import keep


def test_a_second_publisher_is_refused_with_the_pid(publish: Publish) -> None:
    with publish() as publisher:
        for options in ({}, {"capacity": 2 * CAPACITY}):
            with pytest.raises(StreamBusy) as caught:
                publish(**options)
            assert caught.value.pid == os.getpid()
            assert f"'cam' is being published by pid {os.getpid()}" in str(caught.value)
        with publish("other"):
            pass
        assert publisher.write(b"still mine") == 0
    with publish() as after:
        assert after.epoch == 1


def test_a_second_publisher_in_another_process(publish: Publish, instance: str) -> None:
    with Child("publish", instance, "cam", CAPACITY) as first:
        assert first.line() == "epoch 1"
        with pytest.raises(StreamBusy, match=f"by pid {first.pid};"):
            publish()
        with Child("publish", instance, "cam", CAPACITY) as second:
            assert second.line().startswith("StreamBusy: ")
            second.finish()
        first.send("close")
        first.finish()
    with publish(), Child("publish", instance, "cam", CAPACITY) as child:
        assert f"by pid {os.getpid()};" in child.line()
        child.finish()


def test_takeover(publish: Publish, instance: str) -> None:
    first = publish()
    first.write(b"first", key=True)
    with Subscriber("cam", instance=instance) as subscriber:
        assert read(subscriber) == b"first"
        second = publish(takeover=True, init=b"new")
        assert second.epoch == first.epoch + 1
        with pytest.raises(TakenOver, match="'cam' was taken over"):
            first.write(b"late", key=True)
        second.write(b"delta", key=False)
        second.write(b"second", key=True)
        first.close()
        assert read(subscriber) == b"second"
        assert subscriber.metadata is not None
        assert (subscriber.metadata.epoch, subscriber.metadata.init) == (2, b"new")
        info = inspect_stream(instance, "cam")
        assert (info.live, info.epoch) == (True, 2)
        second.write(b"third")
        assert read(subscriber) == b"third"
        second.close()
        assert subscriber.read(0) is None


def test_takeover_from_another_process(publish: Publish, instance: str) -> None:
    with Child("publish", instance, "cam", CAPACITY) as first:
        first.line()
        with publish(takeover=True):
            first.send("key late")
            assert first._process.wait() != 0
            assert "TakenOver: stream 'cam' was taken over" in first.complaints()


def test_takeover_of_nobody(publish: Publish) -> None:
    with publish(takeover=True) as publisher:
        assert publisher.epoch == 1


def test_after_a_crash_the_next_one_goes_on(publish: Publish, instance: str) -> None:
    with Child("publish", instance, "cam", CAPACITY) as first:
        first.line()
        first.ask("key one")
        keep(instance, "cam")
        first.kill()
    assert not inspect_stream(instance, "cam").live
    with publish() as second:
        info = inspect_stream(instance, "cam")
        assert (second.epoch, info.epoch, info.live, info.frames) == (2, 2, True, 1)
        assert info.publisher_pid == os.getpid()


def test_another_capacity_replaces_what_a_crash_left(publish: Publish, instance: str) -> None:
    with Child("publish", instance, "cam", CAPACITY) as first:
        first.line()
        first.ask("key one")
        with Subscriber("cam", instance=instance) as subscriber:
            assert read(subscriber) == b"one"
            first.kill()
            with publish(capacity=2 * CAPACITY) as second:
                second.write(b"two", key=True)
                info = inspect_stream(instance, "cam")
                assert (second.epoch, info.frames, info.live) == (2, 1, True)
                assert read(subscriber) == b"two"


def test_a_failed_successor_leaves_the_dead_ones_segment(
    publish: Publish, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Child("publish", instance, "cam", CAPACITY) as first:
        first.line()
        first.ask("key one")
        with Subscriber("cam", instance=instance) as subscriber:
            assert read(subscriber) == b"one"
            first.kill()
            with monkeypatch.context() as patch:
                patch.setattr("bus.stream.StreamSegment.write_metadata", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    publish()
            with pytest.raises(TimeoutError):
                subscriber.read(0)
            with publish() as second:
                second.write(b"two", key=True)
                assert read(subscriber) == b"two"
