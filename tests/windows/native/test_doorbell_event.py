"""Doorbells in event loops of Windows."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from bus import Publisher, Subscriber
from bus.doorbell import Doorbell, Ringer, open_doorbell, open_ringer


class Heard:
    """Collects tokens; awaitable for the next ones."""

    def __init__(self, bell: Doorbell) -> None:
        self._bell = bell
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self.tokens: set[int] = set()
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        self.tokens |= self._bell.drain()
        self._news.set()

    async def until(self, tokens: set[int]) -> None:
        while not tokens <= self.tokens:
            await self._news.wait()
            self._news.clear()


def waits() -> int:
    """Waits for events that the Proactor loop has under way."""
    proactor: Any = getattr(asyncio.get_running_loop(), "_proactor")  # noqa: B009
    return sum("Wait" in type(future).__name__ for future, *_ in proactor._cache.values())


LOOPS = {
    "proactor": asyncio.ProactorEventLoop,  # type: ignore[attr-defined,unused-ignore]
    "selector": asyncio.SelectorEventLoop,
}


@pytest.fixture(params=list(LOOPS))
def runner(request: pytest.FixtureRequest) -> Any:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner


@pytest.fixture
def bell(instance: str) -> Any:
    bell = open_doorbell(instance)
    yield bell
    bell.close()


@pytest.fixture
def ringer(instance: str) -> Any:
    ringer = open_ringer(instance)
    yield ringer
    ringer.close()


def test_rings_call_back(runner: asyncio.Runner, bell: Doorbell, ringer: Ringer) -> None:
    async def main() -> None:
        heard = Heard(bell)
        bell.attach(asyncio.get_running_loop(), heard)
        for token in range(20):
            ringer.ring(bell.id, token)
            await heard.until({token})
        assert heard.tokens == set(range(20))
        bell.detach()

    runner.run(main())


def test_rings_coalesce_and_none_is_lost(
    runner: asyncio.Runner, bell: Doorbell, ringer: Ringer
) -> None:
    async def main() -> None:
        heard = Heard(bell)
        bell.attach(asyncio.get_running_loop(), heard)

        def ring() -> None:
            for token in range(1000):
                ringer.ring(bell.id, token)

        thread = threading.Thread(target=ring)
        thread.start()
        await heard.until(set(range(1000)))
        thread.join()
        assert 1 <= heard.calls <= 1001
        bell.detach()

    runner.run(main())


def test_a_ring_before_attaching(runner: asyncio.Runner, bell: Doorbell, ringer: Ringer) -> None:
    async def main() -> None:
        ringer.ring(bell.id, 7)
        heard = Heard(bell)
        bell.attach(asyncio.get_running_loop(), heard)
        await heard.until({7})
        bell.detach()

    runner.run(main())


def test_a_callback_that_drains_nothing_is_called_again(
    runner: asyncio.Runner, bell: Doorbell, ringer: Ringer
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        third = loop.create_future()
        calls = 0

        def callback() -> None:
            nonlocal calls
            calls += 1
            if calls == 3:
                bell.drain()
                third.set_result(None)

        bell.attach(loop, callback)
        ringer.ring(bell.id, 1)
        await third
        bell.detach()

    runner.run(main())


def test_nobody_is_called_after_detaching(
    runner: asyncio.Runner, bell: Doorbell, ringer: Ringer
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        first, second = Heard(bell), Heard(bell)
        bell.attach(loop, first)
        bell.detach()
        bell.detach()
        ringer.ring(bell.id, 1)
        bell.attach(loop, second)
        await second.until({1})
        assert first.calls == 0
        bell.detach()

    runner.run(main())


def test_a_bell_that_is_closed_leaves_no_operation(instance: str) -> None:
    async def main() -> None:
        bell = open_doorbell(instance)
        bell.attach(asyncio.get_running_loop(), lambda: None)
        assert waits() == 1
        bell.close()
        while waits():
            await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=LOOPS["proactor"]) as runner:
        runner.run(main())


def test_a_loop_may_end_with_a_bell_attached(instance: str) -> None:
    bell = open_doorbell(instance)
    ringer = open_ringer(instance)

    async def attach() -> None:
        bell.attach(asyncio.get_running_loop(), lambda: None)

    async def hear() -> None:
        heard = Heard(bell)
        bell.attach(asyncio.get_running_loop(), heard)
        ringer.ring(bell.id, 3)
        await heard.until({3})

    for main in (attach, hear, attach):
        with asyncio.Runner(loop_factory=LOOPS["proactor"]) as runner:
            runner.run(main())
    bell.close()
    ringer.close()


def test_a_subscriber_in_any_loop(runner: asyncio.Runner, instance: str) -> None:
    async def main() -> None:
        with (
            Publisher("cam", codec="mjpeg", instance=instance, capacity=1 << 16) as publisher,
            Subscriber("cam", instance=instance) as subscriber,
        ):
            loop = asyncio.get_running_loop()
            for number in range(50):
                loop.call_soon(publisher.write, b"%d" % number)
                frame = await subscriber.read_async(timeout=30)
                assert frame is not None
                assert frame.payload == b"%d" % number
            with pytest.raises(TimeoutError):
                await subscriber.read_async(timeout=0.01)

    runner.run(main())
