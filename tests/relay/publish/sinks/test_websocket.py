"""The WebSocket sink against a real server: dialogue, loss, reconnection, the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import wraps
from http import HTTPStatus
from itertools import pairwise

import pytest

from bus.frame import INIT_CHANGED, KEY, Frame
from relay.publish.clock import now_us
from relay.publish.errors import Refused
from relay.publish.sinks.websocket import WebSocketSink
from tests.relay.publish.fakes import INFO, frame, gop
from tests.relay.publish.relay_server import Guest, RelayServer


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own."""

    @wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        asyncio.run(main())

    return run


@dataclass
class Run:
    """A sink that is running.

    Attributes:
        sink: the sink.
        task: its `run`.
        notices: its lines for the user.
    """

    sink: WebSocketSink
    task: asyncio.Task[None]
    notices: list[str]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop go on until ``condition`` holds; the test's time-out is the watchdog."""
        while not condition():
            await asyncio.sleep(0)


@asynccontextmanager
async def running(url: str, token: str | None = None) -> AsyncIterator[Run]:
    notices: list[str] = []
    sink = WebSocketSink(url, token=token, notice=notices.append, draw=lambda: 0.0)
    task = asyncio.create_task(sink.run())
    try:
        yield Run(sink, task, notices)
    finally:
        await sink.finish(drain=False)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Refused):
            await task


async def accepted(relay: RelayServer, run: Run) -> Guest:
    """A publisher that was said ok to, and knows."""
    guest = await relay.accept()
    await guest.welcome()
    await run.until(lambda: run.sink.key_requested)
    return guest


def numbers(frames: list[Frame]) -> list[int]:
    return [got.pts_us // 40_000 for got in frames]


class TestDialogue:
    @in_loop
    async def test_hello_comes_first_and_frames_follow_in_order(self) -> None:
        info = replace(INFO, init=b"\x01init")
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(info)
            guest = await relay.accept()
            assert await guest.welcome() == {
                "type": "hello",
                "codec": "vp8",
                "width": 320,
                "height": 240,
                "fps": 25.0,
                "init": b"\x01init",
            }
            await run.until(lambda: run.sink.key_requested)
            sent = gop(0, 5, info)
            for each in sent:
                run.sink.write(each)
            got = [await guest.frame() for _ in sent]
            assert [each.seq for each in got] == [0, 1, 2, 3, 4]
            assert [each.flags for each in got] == [KEY, 0, 0, 0, 0]
            assert [each.payload for each in got] == [each.payload for each in sent]
            assert [each.capture_us for each in got] == [each.capture_us for each in sent]

    @in_loop
    async def test_nothing_is_sent_before_ok(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await relay.accept()
            await guest.control()
            for each in gop(0, 5):
                run.sink.write(each)
            assert run.sink.dropped == 5
            assert not run.sink.key_requested

    @in_loop
    async def test_the_handshake(self) -> None:
        async with RelayServer() as relay, running(relay.url, token="s3cret") as run:
            run.sink.open(INFO)
            guest = await relay.accept()
            assert guest.request.path == "/publish/cam"
            assert guest.request.headers["Authorization"] == "Bearer s3cret"
            assert "Sec-WebSocket-Extensions" not in guest.request.headers
            await guest.welcome()
            await run.until(lambda: run.sink.key_requested)
            assert not any("s3cret" in notice for notice in run.notices)

    @in_loop
    async def test_clock_questions_are_answered_before_and_after_ok(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await relay.accept()
            await guest.control()
            for t0 in (7, 8):
                before = now_us()
                await guest.send(type="ping", t0=t0)
                pong = await guest.control()
                assert (pong["type"], pong["t0"]) == ("pong", t0)
                assert before <= pong["t1"] <= now_us()
                await guest.send(type="ok", stream="cam", epoch=1)

    @in_loop
    async def test_a_key_request_stands_until_a_key_frame_comes(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            run.sink.write(frame(0, key=True))
            assert not run.sink.key_requested
            await guest.send(type="key")
            await run.until(lambda: run.sink.key_requested)
            run.sink.write(frame(1))
            assert run.sink.key_requested
            run.sink.write(frame(2, key=True))
            assert not run.sink.key_requested

    @in_loop
    async def test_a_new_description_is_announced_before_its_frame(self) -> None:
        other = replace(INFO, codec="vp09.00.31.08", width=1280)
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            run.sink.write(frame(0, key=True))
            run.sink.open(other)
            run.sink.write(frame(1, key=True, info=other))
            assert (await guest.frame()).flags == KEY
            assert (await guest.control())["width"] == 1280
            assert (await guest.frame()).flags == KEY | INIT_CHANGED

    @in_loop
    async def test_what_is_not_understood_is_no_error(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            await guest.send(type="news", text="of a later version")
            for junk in ("text", b"", b"\xc1", b"\x01"):
                await guest.socket.send(junk)
            run.sink.write(frame(0, key=True))
            assert (await guest.frame()).seq == 0


class TestReconnect:
    @in_loop
    async def test_after_an_abrupt_end_it_begins_at_a_key_frame(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            for each in gop(0, 3):
                run.sink.write(each)
            for _ in range(3):
                await guest.frame()
            guest.vanish()
            guest = await accepted(relay, run)  # a key frame is asked for again
            for each in (frame(3), frame(4), *gop(5, 2)):
                run.sink.write(each)
            got = [await guest.frame() for _ in range(2)]
            assert numbers(got) == [5, 6]
            assert [each.seq for each in got] == [3, 4]
            assert run.sink.reconnects == 1
            assert run.sink.dropped == 2
            assert any("trying again" in notice for notice in run.notices)

    @in_loop
    async def test_nothing_piles_up_while_disconnected(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        async with running(f"ws://127.0.0.1:{port}/publish/cam") as run:
            run.sink.open(INFO)
            await run.until(lambda: any("connection refused" in line for line in run.notices))
            assert run.sink.trouble == "connection refused"
            for number in range(1000):
                run.sink.write(frame(number, key=number % 50 == 0))
            assert run.sink.dropped == 1000
            assert len(run.sink._backlog) == 0
            async with RelayServer(port) as relay:  # the relay comes up at last
                guest = await accepted(relay, run)
                run.sink.write(frame(1000, key=True))
                assert numbers([await guest.frame()]) == [1000]
                assert run.sink.reconnects == 0

    @in_loop
    async def test_nothing_old_piles_up_behind_a_slow_network(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            guest.pause()
            number, longest = 0, 0
            while not run.sink.dropped:
                run.sink.write(frame(number, key=number % 10 == 0, size=100_000))
                number += 1
                longest = max(longest, len(run.sink._backlog))
                await asyncio.sleep(0)
            assert longest <= 26  # one second
            last = number + 9 - number % 10
            for rest in range(number, last + 1):
                run.sink.write(frame(rest, key=rest % 10 == 0, size=100_000))
            guest.resume()
            got = [await guest.frame()]
            while numbers(got)[-1] != last:
                got.append(await guest.frame())
            sequence = numbers(got)
            for before, after in pairwise(sequence):
                assert after == before + 1 or after % 10 == 0
            assert len(got) + run.sink.dropped == last + 1
            assert [each.seq for each in got] == list(range(len(got)))

    @in_loop
    async def test_a_restarting_worker_is_left_and_found_again(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            await guest.socket.close(1012, "worker restarts")
            await accepted(relay, run)
            assert any("worker restarts" in notice for notice in run.notices)

    @in_loop
    async def test_the_newest_description_is_announced_after_reconnecting(self) -> None:
        other = replace(INFO, width=640)
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            run.sink.open(other)
            guest.vanish()
            guest = await relay.accept()
            assert (await guest.welcome())["width"] == 640


class TestRefusal:
    @in_loop
    async def test_policy_violation_stops_with_the_reason(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await relay.accept()
            await guest.socket.close(1008, "this token may not publish 'cam'")
            with pytest.raises(Refused, match="this token may not publish 'cam'"):
                await run.task
            run.sink.wait_ready()  # a waiting pump is released

    @in_loop
    async def test_a_busy_stream_stops_the_first_time(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await relay.accept()
            await guest.socket.close(1008, "stream 'cam' is being published by 10.0.0.1")
            with pytest.raises(Refused, match="being published by 10"):
                await run.task

    @in_loop
    async def test_a_busy_stream_is_awaited_on_a_reconnect(self) -> None:
        """The relay may not have noticed yet that our first connection is dead."""
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            (await accepted(relay, run)).vanish()
            for _ in range(3):
                guest = await relay.accept()
                await guest.socket.close(1008, "stream 'cam' is being published by pid 1")
            await accepted(relay, run)

    @in_loop
    async def test_being_taken_over_stops(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            await guest.socket.close(1008, "taken over by another publisher")
            with pytest.raises(Refused, match="taken over"):
                await run.task

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (HTTPStatus.UNAUTHORIZED, "valid token"),
            (HTTPStatus.FORBIDDEN, "does not allow"),
            (HTTPStatus.NOT_FOUND, "no relay at this address"),
        ],
    )
    def test_a_refused_handshake_stops(self, status: HTTPStatus, words: str) -> None:
        @in_loop
        async def test() -> None:
            async with RelayServer(refuse=status) as relay, running(relay.url) as run:
                run.sink.open(INFO)
                with pytest.raises(Refused, match=words):
                    await run.task

        test()


class TestEnd:
    @in_loop
    async def test_a_file_that_ended_is_delivered_whole(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            for each in gop(0, 20):
                run.sink.write(each)
            end = asyncio.create_task(run.sink.finish(drain=True))
            assert numbers([await guest.frame() for _ in range(20)]) == list(range(20))
            assert await guest.control() == {"type": "ended"}
            await guest.socket.wait_closed()
            assert guest.socket.close_code == 1000
            await end
            await run.task

    @in_loop
    async def test_a_stop_does_not_wait_for_what_is_queued(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await accepted(relay, run)
            for each in gop(0, 20):
                run.sink.write(each)
            end = asyncio.create_task(run.sink.finish(drain=False))
            message = await guest.receive()
            while isinstance(message, Frame):
                message = await guest.receive()
            assert message == {"type": "ended"}
            await guest.socket.wait_closed()
            assert guest.socket.close_code == 1000
            await end
            await run.task

    @in_loop
    async def test_a_stop_before_anything_happened(self) -> None:
        async with running("ws://127.0.0.1:9/publish/cam") as run:
            await run.sink.finish(drain=True)
            await run.task

    @in_loop
    async def test_a_stop_while_the_relay_is_away(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        async with running(f"ws://127.0.0.1:{port}/publish/cam") as run:
            run.sink.open(INFO)
            await run.until(lambda: bool(run.notices))
            await run.sink.finish(drain=True)
            await run.task

    @in_loop
    async def test_a_stop_while_the_relay_is_silent(self) -> None:
        async with RelayServer() as relay, running(relay.url) as run:
            run.sink.open(INFO)
            guest = await relay.accept()
            await guest.control()
            await run.sink.finish(drain=True)
            await run.task
