"""Shared memory: what is written is what a subscriber reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice

import pytest

from bus import Publisher, Subscriber
from relay.publish.errors import Refused
from relay.publish.sinks.shm import ShmSink
from tests.relay.publish.fakes import INFO, gop


@asynccontextmanager
async def sink_of(instance: str, *, takeover: bool = False) -> AsyncIterator[ShmSink]:
    sink = ShmSink("cam", instance, takeover=takeover)
    try:
        yield sink
    finally:
        await sink.finish(drain=False)


def test_frames_arrive_with_their_times(instance: str) -> None:
    async def main() -> None:
        async with sink_of(instance) as sink:
            sink.open(INFO)
            with Subscriber("cam", instance=instance, timeout=10) as reader:
                for frame in gop(0, 3):
                    sink.write(frame)
                got = list(islice(reader, 3))
        assert [frame.seq for frame in got] == [0, 1, 2]
        assert [frame.pts_us for frame in got] == [0, 40_000, 80_000]
        assert [frame.capture_us for frame in got] == [f.capture_us for f in gop(0, 3)]
        assert [frame.key for frame in got] == [True, False, False]

    asyncio.run(main())


def test_a_changed_description_reaches_viewers(instance: str) -> None:
    async def main() -> None:
        async with sink_of(instance) as sink:
            sink.open(INFO)
            sink.open(replace(INFO, width=640))
            with Subscriber("cam", instance=instance, timeout=10) as reader:
                sink.write(gop(0, 1)[0])
                assert next(iter(reader)).flags == 3

    asyncio.run(main())


def test_a_busy_stream_is_refused_and_can_be_taken_over(instance: str) -> None:
    async def main() -> None:
        with Publisher("cam", codec="vp8", instance=instance):
            async with sink_of(instance) as sink:
                with pytest.raises(Refused, match=r"being published by pid \d+.*--takeover"):
                    sink.open(INFO)
            async with sink_of(instance, takeover=True) as sink:
                sink.open(INFO)
                sink.write(gop(0, 1)[0])

    asyncio.run(main())


def test_losing_the_stream_is_a_refusal(instance: str) -> None:
    async def main() -> None:
        async with sink_of(instance) as sink:
            sink.open(INFO)
            with (
                Publisher("cam", codec="vp8", instance=instance, takeover=True),
                pytest.raises(Refused, match="taken over"),
            ):
                sink.write(gop(0, 1)[0])

    asyncio.run(main())


def test_a_late_pump_is_ignored_after_the_end(instance: str) -> None:
    async def main() -> None:
        sink = ShmSink("cam", instance)
        sink.open(INFO)
        await sink.finish(drain=False)
        await sink.run()
        sink.write(gop(0, 1)[0])
        sink.open(INFO)
        assert not sink.key_requested

    asyncio.run(main())
