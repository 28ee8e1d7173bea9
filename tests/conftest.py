"""Fixtures for all tests."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from collections.abc import Iterator

import pytest

from bus.names import instance_prefix
from bus.segment import list_objects, remove_dead
from tests.platforms import let_go
from tests.skips import register


def pytest_configure(config: pytest.Config) -> None:
    """Hooks of the whole suite."""
    register(config)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs in the background like that, and children inherit it, whom
        # tests interrupt.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def instance() -> Iterator[str]:
    """A name of an instance of this test's own, which must leave nothing in shared memory."""
    with _own_instance() as name:
        yield name


@pytest.fixture(scope="module")
def shared_instance() -> Iterator[str]:
    """The same for all tests of a module, which share what is slow to start."""
    with _own_instance() as name:
        yield name


@contextlib.contextmanager
def _own_instance() -> Iterator[str]:
    name = f"test-{os.getpid()}-{secrets.token_hex(4)}"
    yield name
    let_go()
    # Without the end of the prefix: a test may have made other instances by adding to the name.
    left = list_objects(instance_prefix(name)[:-1])
    for found in left:
        remove_dead(found)
    assert not left, f"left in shared memory: {left}"
