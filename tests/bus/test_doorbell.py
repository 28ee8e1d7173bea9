"""Doorbells: rings arrive, coalesce, and never hold a writer up."""

from __future__ import annotations

import asyncio
import os
import stat

import pytest

from bus.doorbell import Doorbell, Ringer, open_doorbell, open_ringer, remove_doorbell
from bus.layout import TOKENS
from bus.names import bell_object, instance_prefix
from bus.segment import list_objects
from tests.platforms import open_descriptors, path_of, posix_only


@pytest.fixture
def ringer(instance: str) -> Ringer:
    return open_ringer(instance)


def readable(bell: Doorbell) -> bool:
    return bell.wait(0)


def test_a_ring_arrives_with_its_token(instance: str, ringer: Ringer) -> None:
    bell = open_doorbell(instance)
    assert not readable(bell)
    assert bell.drain() == set()
    assert ringer.ring(bell.id, 7)
    assert ringer.ring(bell.id, TOKENS - 1)
    assert ringer.ring(bell.id, 7)
    assert readable(bell)
    assert bell.drain() == {7, TOKENS - 1}
    assert not readable(bell)
    ringer.close()
    bell.close()


def test_wait(instance: str, ringer: Ringer) -> None:
    bell = open_doorbell(instance)
    assert bell.wait(0) is False
    assert bell.wait(-1.0) is False
    assert bell.wait(0.001) is False
    ringer.ring(bell.id, 1)
    assert bell.wait(None) is True
    assert bell.wait(0) is True
    bell.drain()
    assert bell.wait(0) is False
    ringer.close()
    bell.close()


def test_bells_are_told_apart(instance: str, ringer: Ringer) -> None:
    first, second = open_doorbell(instance), open_doorbell(instance)
    assert first.id != second.id
    assert 0 not in (first.id, second.id)
    ringer.ring(second.id, 3)
    assert not readable(first)
    assert second.drain() == {3}
    ringer.close()
    first.close()
    second.close()


def test_a_hung_reader_never_blocks_the_writer(instance: str, ringer: Ringer) -> None:
    bell = open_doorbell(instance)
    for number in range(100_000):
        assert ringer.ring(bell.id, number % TOKENS)
    assert readable(bell)
    while bell.drain():
        pass
    assert ringer.ring(bell.id, 5)
    assert bell.drain() == {5}
    ringer.close()
    bell.close()


def test_a_bell_that_left_is_told_of_at_once(instance: str, ringer: Ringer) -> None:
    bell = open_doorbell(instance)
    assert ringer.ring(bell.id, 1)
    bell.close()
    assert ringer.ring(bell.id, 1) is False
    assert ringer.ring(bell.id, 1) is False
    assert ringer.ring(12345, 1) is False
    ringer.close()


def test_a_bell_whose_owner_died_is_told_of_at_once(instance: str, ringer: Ringer) -> None:
    """Its name is still there, and nobody has it open."""
    path = path_of(bell_object(instance, 99))
    os.mkfifo(path, 0o600)
    assert ringer.ring(99, 1) is False
    os.unlink(path)
    ringer.close()


def test_a_ringer_keeps_no_descriptors_of_the_dead(instance: str, ringer: Ringer) -> None:
    before = open_descriptors()
    for _ in range(20):
        bell = open_doorbell(instance)
        assert ringer.ring(bell.id, 1)
        bell.close()
        assert not ringer.ring(bell.id, 1)
    assert open_descriptors() == before


def test_a_ringer_keeps_a_bounded_number_of_descriptors(instance: str, ringer: Ringer) -> None:
    bells = [open_doorbell(instance) for _ in range(200)]
    before = open_descriptors()
    for _ in range(2):
        for bell in bells:
            assert ringer.ring(bell.id, 1)
        assert open_descriptors() - before <= 128
    assert all(bell.drain() == {1} for bell in bells)
    ringer.close()
    ringer.close()
    assert open_descriptors() == before
    for bell in bells:
        bell.close()


@posix_only
def test_close_removes_the_bell(instance: str) -> None:
    bell = open_doorbell(instance)
    (name,) = list_objects(instance_prefix(instance))
    assert name == bell_object(instance, bell.id)
    assert stat.S_IMODE(os.stat(path_of(name)).st_mode) == 0o600
    bell.close()
    bell.close()
    assert list_objects(instance_prefix(instance)) == []


@posix_only
def test_what_a_dead_reader_left_can_be_removed(instance: str, ringer: Ringer) -> None:
    os.mkfifo(path_of(bell_object(instance, 99)), 0o600)
    remove_doorbell(instance, 99)
    remove_doorbell(instance, 99)
    assert list_objects(instance_prefix(instance)) == []
    ringer.close()


@posix_only
def test_close_after_somebody_else_removed_it(instance: str) -> None:
    bell = open_doorbell(instance)
    os.unlink(path_of(bell_object(instance, bell.id)))
    bell.close()


@posix_only
def test_a_bell_that_is_removed_while_it_is_made_is_made_again(
    instance: str, ringer: Ringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is open it looks like a dead process's."""
    mkfifo = os.mkfifo
    removals = [True, True]

    def make(path: str, mode: int) -> None:
        mkfifo(path, mode)
        if removals:
            removals.pop()
            os.unlink(path)

    monkeypatch.setattr(os, "mkfifo", make)
    bell = open_doorbell(instance)
    assert ringer.ring(bell.id, 4)
    assert bell.drain() == {4}
    ringer.close()
    bell.close()


def test_an_event_loop_is_called_while_attached(instance: str, ringer: Ringer) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        bell = open_doorbell(instance)
        for token in (3, 4):
            called = asyncio.Event()
            bell.attach(loop, called.set)
            ringer.ring(bell.id, token)
            await called.wait()
            bell.detach()
            bell.detach()
            assert bell.drain() == {token}
        calls: list[int] = []
        bell.attach(loop, lambda: calls.append(1))
        bell.detach()
        ringer.ring(bell.id, 5)
        for _ in range(3):
            await asyncio.sleep(0)
        assert calls == []
        bell.attach(loop, called.set)
        bell.close()

    asyncio.run(main())
    ringer.close()


def test_a_bell_outlives_its_loop(instance: str) -> None:
    bell = open_doorbell(instance)
    loop = asyncio.new_event_loop()
    bell.attach(loop, lambda: None)
    loop.close()
    bell.close()
    assert list_objects(instance_prefix(instance)) == []
