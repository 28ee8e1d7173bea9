"""Reading as a program on this host does: blocking, awaiting, too slowly, too early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bus import BusError, InvalidName, Subscriber, TooManyReaders
from bus.layout import READER_SLOTS
from bus.names import instance_prefix
from bus.reclaim import reclaim
from bus.segment import list_objects
from tests.bus.conftest import CAPACITY, Publish, crash
from tests.bus.processes import Child
from tests.bus.test_names import REFUSED
from tests.platforms import open_descriptors


@pytest.fixture
def subscriber(instance: str) -> Iterator[Subscriber]:
    with Subscriber("cam", instance=instance, timeout=60) as subscriber:
        yield subscriber


def payloads(subscriber: Subscriber) -> list[bytes]:
    """All frames that are there."""
    found: list[bytes] = []
    while True:
        try:
            frame = subscriber.read(0)
        except TimeoutError:
            return found
        if frame is None:
            return found
        found.append(frame.payload)


def test_iteration_ends_with_the_stream(subscriber: Subscriber, publish: Publish) -> None:
    publisher = publish()
    for number in range(5):
        publisher.write(bytes([number]), key=number == 0)
    frames = iter(subscriber)
    assert [next(frames).seq for _ in range(5)] == [0, 1, 2, 3, 4]
    publisher.write(b"last")
    publisher.close()
    assert [frame.payload for frame in frames] == [b"last"]


def test_a_subscriber_goes_on_with_the_next_stream_of_that_name(
    subscriber: Subscriber, publish: Publish
) -> None:
    for payload in (b"one", b"two"):
        publisher = publish()
        publisher.write(payload, key=True)
        publisher.close()
        publisher = publish()
        publisher.write(payload, key=True)
        frame = subscriber.read()
        assert frame is not None
        assert frame.payload == payload
        publisher.close()
        assert subscriber.read() is None


def test_metadata(subscriber: Subscriber, publish: Publish) -> None:
    assert subscriber.metadata is None
    publisher = publish(width=320, height=200, fps=12.5, init=b"i")
    publisher.write(b"", key=True)
    subscriber.read()
    assert subscriber.metadata == publisher.metadata


def test_nothing_before_the_first_key_frame(subscriber: Subscriber, publish: Publish) -> None:
    publisher = publish()
    publisher.write(b"delta", key=False)
    publisher.write(b"key", key=True)
    publisher.write(b"delta", key=False)
    assert payloads(subscriber) == [b"key", b"delta"]


def test_a_slow_subscriber_goes_on_with_a_key_frame(
    subscriber: Subscriber, publish: Publish
) -> None:
    publisher = publish()
    publisher.write(b"first", key=True)
    assert payloads(subscriber) == [b"first"]
    for number in range(1, 100):
        publisher.write(number.to_bytes(4, "little") * 1000, key=number == 95)
    first = subscriber.read()
    assert first is not None
    assert (first.seq, first.key) == (95, True)
    assert subscriber.lost == 94
    assert len(payloads(subscriber)) == 4


def test_a_delta_frame_after_a_loss_is_withheld(subscriber: Subscriber, publish: Publish) -> None:
    publisher = publish()
    publisher.write(b"first", key=True)
    assert payloads(subscriber) == [b"first"]
    for _ in range(50):
        publisher.write(bytes(4000), key=False)
    assert payloads(subscriber) == []
    publisher.write(b"key", key=True)
    publisher.write(b"delta", key=False)
    assert payloads(subscriber) == [b"key", b"delta"]


def test_a_delta_frame_after_a_loss_and_new_metadata_is_withheld(
    subscriber: Subscriber, publish: Publish
) -> None:
    publisher = publish()
    publisher.write(b"first", key=True)
    assert payloads(subscriber) == [b"first"]
    publisher.update(fps=50.0)
    for _ in range(50):
        publisher.write(bytes(4000), key=False)
    assert payloads(subscriber) == []
    publisher.write(b"key", key=True)
    assert payloads(subscriber) == [b"key"]


def test_new_metadata_alone_interrupts_nothing(subscriber: Subscriber, publish: Publish) -> None:
    publisher = publish()
    publisher.write(b"key", key=True)
    assert payloads(subscriber) == [b"key"]
    publisher.update(fps=50.0)
    publisher.write(b"delta", key=False)
    assert payloads(subscriber) == [b"delta"]


@pytest.mark.parametrize("change", [{"init": b"new"}, {"codec": "other"}])
def test_new_init_data_needs_a_key_frame(
    subscriber: Subscriber, publish: Publish, change: dict[str, object]
) -> None:
    publisher = publish(init=b"old")
    publisher.write(b"key", key=True)
    assert payloads(subscriber) == [b"key"]
    publisher.update(**change)
    publisher.write(b"delta", key=False)
    publisher.write(b"key", key=True)
    assert payloads(subscriber) == [b"key"]


def test_a_successor_needs_a_key_frame(subscriber: Subscriber, publish: Publish) -> None:
    first = publish()
    first.write(b"one", key=True)
    assert payloads(subscriber) == [b"one"]
    crash(first)
    second = publish()
    second.write(b"delta", key=False)
    second.write(b"two", key=True)
    second.write(b"delta", key=False)
    assert payloads(subscriber) == [b"two", b"delta"]
    assert subscriber.metadata == second.metadata


def test_a_subscriber_that_waits_is_rung_when_the_publisher_comes(
    subscriber: Subscriber, publish: Publish
) -> None:
    with ThreadPoolExecutor(1) as pool:
        frame = pool.submit(subscriber.read)
        publish().write(b"first", key=True)
        got = frame.result()
        assert got is not None
        assert got.payload == b"first"


def test_a_subscriber_outlives_crash_and_replacement(instance: str, publish: Publish) -> None:
    with Child("read", instance, "cam", 0) as reader:
        assert reader.line() == "ready"
        for number in range(3):
            first = publish()
            first.write(f"first {number}".encode(), key=True)
            assert reader.line() == f"key first {number}"
            crash(first)
            second = publish()
            second.write(b"delta")
            second.write(f"second {number}".encode(), key=True)
            assert reader.line() == f"key second {number}"
            crash(second)
            third = publish(capacity=2 * CAPACITY)
            third.write(f"third {number}".encode(), key=True)
            assert reader.line() == f"key third {number}"
            crash(third)
            assert reclaim(instance) == []
        last = publish()
        last.write(b"last", key=True)
        assert reader.line() == "key last"
        last.close()
        assert reader.line() == "end"
        reader.finish()


def test_a_stream_that_was_reclaimed_comes_back(
    instance: str, subscriber: Subscriber, publish: Publish
) -> None:
    crash(publish())
    assert len(reclaim(instance)) == 1
    with ThreadPoolExecutor(1) as pool:
        frame = pool.submit(subscriber.read)
        publish().write(b"back", key=True)
        assert frame.result() is not None


def test_timeout(subscriber: Subscriber, publish: Publish) -> None:
    with pytest.raises(TimeoutError, match="no frame of stream 'cam' within 0 s"):
        subscriber.read(0)
    publisher = publish()
    with pytest.raises(TimeoutError, match=r"within 0\.01 s"):
        subscriber.read(0.01)
    publisher.write(b"", key=True)
    assert subscriber.read(0) is not None
    subscriber.timeout = 0.01
    with pytest.raises(TimeoutError):
        next(iter(subscriber))
    publisher.write(b"", key=True)
    assert next(iter(subscriber)).seq == 1


# With asyncio.


def test_async_iteration(instance: str, publish: Publish) -> None:
    async def main() -> list[bytes]:
        with Subscriber("cam", instance=instance, timeout=60) as subscriber:
            got: list[bytes] = []

            async def collect() -> None:
                async for frame in subscriber:
                    got.append(frame.payload)

            task = asyncio.create_task(collect())
            for number in range(20):
                if number % 10 == 0:
                    publisher = publish()
                    await asyncio.sleep(0)
                publisher.write(bytes([number]), key=True)
                if number % 3 == 0:
                    await asyncio.sleep(0)
                if number == 9:
                    crash(publisher)
            publisher.close()
            await task
            return got

    assert asyncio.run(main()) == [bytes([number]) for number in range(20)]


def test_async_read_lets_others_run(instance: str, publish: Publish) -> None:
    async def main() -> None:
        with Subscriber("cam", instance=instance) as subscriber:
            read = asyncio.create_task(subscriber.read_async())
            await asyncio.sleep(0)
            assert not read.done()
            publish().write(b"x", key=True)
            frame = await read
            assert frame is not None
            assert frame.payload == b"x"

    asyncio.run(main())


def test_async_timeout_and_cancellation(instance: str, publish: Publish) -> None:
    async def main() -> None:
        with Subscriber("cam", instance=instance, timeout=0.01) as subscriber:
            with pytest.raises(TimeoutError, match=r"no frame of stream 'cam' within 0\.01 s"):
                await subscriber.read_async()
            with pytest.raises(TimeoutError, match="within 0 s"):
                await subscriber.read_async(0)
            read = asyncio.create_task(subscriber.read_async(60))
            await asyncio.sleep(0)
            read.cancel()
            with pytest.raises(asyncio.CancelledError):
                await read
            publish().write(b"x", key=True)
            assert await subscriber.read_async(0) is not None

    asyncio.run(main())


# No spinning.


@pytest.mark.parametrize("attached", [False, True], ids=["no publisher", "silent publisher"])
@pytest.mark.parametrize("form", ["blocking", "async"])
def test_waiting_costs_no_processor_time(
    instance: str, publish: Publish, attached: bool, form: str
) -> None:
    if attached:
        publish().write(b"", key=True)
    with Subscriber("cam", instance=instance) as subscriber:
        if attached:
            subscriber.read(0)

        async def wait() -> None:
            await subscriber.read_async(0.5)

        before = time.thread_time()
        with pytest.raises(TimeoutError):
            asyncio.run(wait()) if form == "async" else subscriber.read(0.5)
        assert time.thread_time() - before < 0.1


# Limits and ends.


@pytest.mark.parametrize("name", REFUSED)
def test_refused_names(instance: str, name: object) -> None:
    with pytest.raises(InvalidName, match="invalid stream name"):
        Subscriber(name, instance=instance)  # type: ignore[arg-type]
    if name is not None:
        with pytest.raises(InvalidName, match="invalid instance name"):
            Subscriber("cam", instance=name)  # type: ignore[arg-type]
    assert list_objects(instance_prefix(instance)) == []


def test_too_many_readers(instance: str) -> None:
    subscribers = [Subscriber("cam", instance=instance) for _ in range(READER_SLOTS)]
    before = list_objects(instance_prefix(instance))
    with pytest.raises(TooManyReaders, match="64 readers"):
        Subscriber("cam", instance=instance)
    assert list_objects(instance_prefix(instance)) == before
    subscribers.pop().close()
    Subscriber("cam", instance=instance).close()
    for subscriber in subscribers:
        subscriber.close()


def test_close_leaves_nothing(instance: str, publish: Publish) -> None:
    before = open_descriptors()
    publisher = publish()
    subscriber = Subscriber("cam", instance=instance)
    publisher.write(b"", key=True)
    subscriber.read()
    publisher.close()
    subscriber.close()
    subscriber.close()
    assert list_objects(instance_prefix(instance)) == []
    assert open_descriptors() == before
    with pytest.raises(BusError, match="subscriber of stream 'cam' is closed"):
        subscriber.read()


def test_a_forgotten_subscriber_leaves_nothing(instance: str) -> None:
    Subscriber("cam", instance=instance)
    assert list_objects(instance_prefix(instance)) == []


def test_two_subscribers_of_one_process(instance: str, publish: Publish) -> None:
    with Subscriber("cam", instance=instance) as one, Subscriber("cam", instance=instance) as two:
        publisher = publish()
        publisher.write(b"1", key=True)
        assert payloads(one) == payloads(two) == [b"1"]
        two.close()
        publisher.write(b"2")
        assert payloads(one) == [b"2"]
