"""Publishing: what arrives, what is refused, what is left."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from bus import (
    BusError,
    FrameInvalid,
    FrameTooLarge,
    InvalidName,
    NoSpace,
    Publisher,
    SegmentInvalid,
    Subscriber,
)
from bus.frame import INIT_CHANGED, KEY, encode
from bus.layout import METADATA_BYTES, VERSION, Kind, Word, max_payload
from bus.names import instance_prefix, stream_object
from bus.segment import Segment, list_objects
from bus.stream import inspect_stream
from tests.bus.conftest import CAPACITY, Publish, read
from tests.bus.processes import Child
from tests.bus.test_names import REFUSED
from tests.platforms import open_descriptors, path_of, posix_only

# Frames.


def test_frames_arrive_with_what_was_said_of_them(publish: Publish, instance: str) -> None:
    with publish() as publisher, Subscriber("cam", instance=instance) as subscriber:
        assert publisher.write(b"a", key=True, pts_us=-5, capture_us=17) == 0
        assert publisher.write(bytearray(b"b"), pts_us=9) == 1
        assert publisher.write(memoryview(b"c"), key=False, capture_us=18) == 2
        first, second, third = (subscriber.read(0) for _ in range(3))
        assert first is not None
        assert second is not None
        assert third is not None
        assert (first.seq, first.pts_us, first.capture_us, first.flags) == (0, -5, 17, KEY)
        assert (second.seq, second.pts_us, second.key, second.payload) == (1, 9, False, b"b")
        assert (third.pts_us, third.capture_us, third.payload) == (18, 18, b"c")


def test_times_default_to_now(
    publish: Publish, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_123_456_789)
    with publish() as publisher, Subscriber("cam", instance=instance) as subscriber:
        publisher.write(b"", key=True)
        frame = subscriber.read(0)
        assert frame is not None
        assert frame.capture_us == frame.pts_us == 1_700_000_000_123_456


@pytest.mark.parametrize(
    ("codec", "key"),
    [("mjpeg", True), ("application/octet-stream", True), ("avc1.64001f", False), ("vp8", False)],
)
def test_every_frame_of_an_intra_codec_is_a_key_frame(
    publish: Publish, instance: str, codec: str, key: bool
) -> None:
    with publish(codec=codec) as publisher:
        publisher.write(b"a")
        publisher.write(b"b", key=False)
        publisher.write(b"c", key=True)
        assert inspect_stream(instance, "cam").key_frames == 1 + key


def test_an_envelope_passes_unchanged(publish: Publish, instance: str) -> None:
    with publish() as publisher, Subscriber("cam", instance=instance) as subscriber:
        envelope = encode(77, 1, 2, KEY, b"payload")
        publisher.write_envelope(memoryview(envelope), key=True)
        frame = subscriber.read(0)
        assert frame is not None
        assert (frame.seq, frame.payload) == (77, b"payload")


def test_too_large_a_frame_is_refused_and_the_next_one_is_not(
    publish: Publish, instance: str
) -> None:
    limit = max_payload(CAPACITY)
    with publish() as publisher, Subscriber("cam", instance=instance) as subscriber:
        with pytest.raises(FrameTooLarge, match=f"limit of {limit} bytes; .*capacity="):
            publisher.write(bytes(limit), key=True)
        assert publisher.write(bytes(limit - 40), key=True) == 0
        assert len(read(subscriber)) == limit - 40


def test_what_no_viewer_could_read_is_refused(publish: Publish) -> None:
    with publish() as publisher:
        with pytest.raises(FrameInvalid, match="pts_us"):
            publisher.write(b"", pts_us=1.5)  # type: ignore[arg-type]
        with pytest.raises(FrameInvalid, match="payload"):
            publisher.write("text")  # type: ignore[arg-type]
        assert publisher.write(b"") == 0


# Names and options that are refused, before anything is touched.


@pytest.mark.parametrize("name", REFUSED)
def test_refused_names(publish: Publish, instance: str, name: object) -> None:
    with pytest.raises(InvalidName, match="invalid stream name"):
        publish(name)
    if name is not None:
        with pytest.raises(InvalidName, match="invalid instance name"):
            publish(instance=name)
    assert list_objects(instance_prefix(instance)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 100_000}, "capacity 100000 is not a power of two"),
        ({"capacity": 1 << 15}, "capacity 32768 is not a power of two"),
        ({"init": bytes(METADATA_BYTES)}, f"init data of {METADATA_BYTES} bytes is too large"),
        ({"codec": ""}, "codec must be a codec string"),
        ({"codec": None}, "codec must be a codec string"),
    ],
)
def test_refused_options(
    publish: Publish, instance: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(BusError, match=message):
        publish(**options)
    assert list_objects(instance_prefix(instance)) == []


def test_a_takeover_that_is_refused_evicts_nobody(publish: Publish) -> None:
    with publish() as publisher:
        for options in ({"capacity": 100_000}, {"init": bytes(METADATA_BYTES)}):
            with pytest.raises(BusError):
                publish(takeover=True, **options)
        publisher.write(b"still mine")


@posix_only
def test_no_space(publish: Publish, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = os.posix_fallocate

    def refuse(fd: int, offset: int, size: int) -> None:
        if size > CAPACITY:
            raise OSError(errno.ENOSPC, "No space left on device")
        reserve(fd, offset, size)

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(NoSpace, match=r"/dev/shm: \d+ bytes needed, \d+ free"):
        publish()
    assert list_objects(instance_prefix(instance)) == []


# What lies in the way.


def in_the_way(instance: str, change: Callable[[Segment], object]) -> str:
    segment = Segment.create(stream_object(instance, "cam"), Kind.STREAM, 1 << 17)
    change(segment)
    assert segment.publish()
    segment.close()
    return path_of(segment.name)


def set_word(word: Word, value: int) -> Callable[[Segment], object]:
    return lambda segment: segment.words.__setitem__(word, value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_word(Word.MAGIC, 1), "not made by this program"),
        (set_word(Word.VERSION, VERSION - 1), f"layout version {VERSION - 1}"),
        (set_word(Word.KIND, Kind.WORKERS), "kind 3"),
        (set_word(Word.SIZE, 1 << 18), "truncated"),
    ],
)
def test_a_segment_that_cannot_be_used_is_told_to_both_sides(
    publish: Publish, instance: str, change: Callable[[Segment], object], reason: str
) -> None:
    path = in_the_way(instance, change)
    with pytest.raises(SegmentInvalid, match=reason):
        publish()
    with pytest.raises(SegmentInvalid, match=reason):
        Subscriber("cam", instance=instance)
    os.unlink(path)
    publish().close()


# Requests for key frames.


def test_a_key_request_stands_until_the_next_key_frame(publish: Publish, instance: str) -> None:
    with publish() as publisher, Subscriber("cam", instance=instance) as subscriber:
        assert not publisher.key_requested
        publisher.write(b"", key=True)
        subscriber.want_key()
        assert publisher.key_requested
        publisher.write(b"", key=False)
        assert publisher.key_requested
        with pytest.raises(FrameTooLarge):
            publisher.write(bytes(CAPACITY), key=True)
        assert publisher.key_requested
        publisher.write(b"", key=True)
        assert not publisher.key_requested
        subscriber.want_key()
        publisher.write_envelope(encode(0, 0, 0, KEY, b""), key=True)
        assert not publisher.key_requested
        subscriber.want_key()
    assert not publisher.key_requested


def test_a_request_during_a_key_frame_still_stands(
    publish: Publish, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its viewer may have come too late for that frame."""
    with publish() as publisher, Subscriber("cam", instance=instance) as subscriber:
        append = publisher._writer.append

        class Interrupted:
            def append(self, payload: bytes, *, key: bool) -> None:
                subscriber.want_key()
                append(payload, key=key)

        monkeypatch.setattr(publisher, "_writer", Interrupted())
        publisher.write(b"", key=True)
        assert publisher.key_requested


# Metadata.


def test_update(publish: Publish, instance: str) -> None:
    with (
        publish(width=640, init=b"one") as publisher,
        Subscriber("cam", instance=instance) as subscriber,
    ):
        publisher.write(b"a", key=True)
        assert read(subscriber) == b"a"
        publisher.update(width=1280, init=b"two")
        assert publisher.metadata.width == 1280
        publisher.write(b"b", key=True)
        publisher.write(b"c", key=False)
        changed, after = subscriber.read(0), subscriber.read(0)
        assert changed is not None
        assert after is not None
        assert (changed.flags, after.flags) == (KEY | INIT_CHANGED, 0)
        assert subscriber.metadata == publisher.metadata
        assert subscriber.metadata is not None
        assert (subscriber.metadata.width, subscriber.metadata.init) == (1280, b"two")


def test_update_that_changes_nothing_is_no_news(publish: Publish, instance: str) -> None:
    with publish(init=b"one") as publisher, Subscriber("cam", instance=instance) as subscriber:
        publisher.update(init=b"one")
        publisher.write(b"a", key=True)
        frame = subscriber.read(0)
        assert frame is not None
        assert frame.flags == KEY


def test_update_with_oversized_init_changes_nothing(publish: Publish, instance: str) -> None:
    with publish(init=b"one") as publisher:
        with pytest.raises(BusError, match="too large"):
            publisher.update(init=bytes(METADATA_BYTES))
        assert publisher.metadata.init == b"one"
        info = inspect_stream(instance, "cam")
        assert info.metadata is not None
        assert info.metadata.init == b"one"


def test_update_of_something_unknown(publish: Publish) -> None:
    with publish() as publisher, pytest.raises(TypeError):
        publisher.update(colour="red")


def test_clock_offset(publish: Publish, instance: str) -> None:
    with publish() as publisher:
        publisher.set_clock_offset(-250)
        segment = Segment.attach(stream_object(instance, "cam"), Kind.STREAM)
        assert segment.words[Word.CLOCK_OFFSET_US] == 2**64 - 250
        segment.close()


# The end.


def test_close_leaves_nothing(publish: Publish, instance: str) -> None:
    before = open_descriptors()
    publisher = publish()
    publisher.write(b"")
    publisher.close()
    publisher.close()
    assert list_objects(instance_prefix(instance)) == []
    assert open_descriptors() == before
    with pytest.raises(BusError, match="'cam' is closed"):
        publisher.write(b"")
    with pytest.raises(BusError, match="'cam' is closed"):
        publisher.update(init=b"")


def test_a_forgotten_publisher_ends_its_stream(instance: str) -> None:
    Publisher("cam", codec="test", capacity=CAPACITY, instance=instance).write(b"")
    assert list_objects(instance_prefix(instance)) == []


def test_a_program_that_ends_without_close_leaves_nothing(instance: str) -> None:
    with Child("publish", instance, "cam", CAPACITY) as child:
        child.line()
        child.finish()
    assert list_objects(instance_prefix(instance)) == []


def test_the_instance_comes_from_the_environment(
    instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_INSTANCE", instance)
    with Publisher("cam", codec="test", capacity=CAPACITY) as publisher:
        assert publisher.instance == instance
        with Subscriber("cam") as subscriber:
            publisher.write(b"here", key=True)
            assert read(subscriber) == b"here"
