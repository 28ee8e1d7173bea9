"""Of two things, the first counts and the other is seen to its end."""

from __future__ import annotations

import asyncio

import pytest

from relay.publish.sinks.race import race


async def value() -> str:
    return "value"


async def failing() -> None:
    raise LookupError("failed")


class Endless:
    def __init__(self) -> None:
        self.cancelled = False

    async def __call__(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def test_the_main_one_is_first() -> None:
    other = Endless()
    assert asyncio.run(race(value(), other())) == "value"
    assert other.cancelled


def test_the_other_one_is_first() -> None:
    main = Endless()
    assert asyncio.run(race(main(), value())) is None
    assert main.cancelled


def test_either_failure_is_raised() -> None:
    for pair in ((failing(), Endless()()), (Endless()(), failing())):
        with pytest.raises(LookupError):
            asyncio.run(race(*pair))


def test_being_cancelled_cancels_both() -> None:
    first, second = Endless(), Endless()

    async def main() -> None:
        async with asyncio.timeout(0):
            await race(first(), second())

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert first.cancelled
    assert second.cancelled
