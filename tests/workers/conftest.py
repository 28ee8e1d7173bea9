"""Fixtures for tests with real workers, and with hubs on fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.workers.harness import Fleet, private_instance
from tests.workers.hub_fakes import Stage
from tests.workers.scene import Scene, stage

MakeStage = Callable[..., Stage]


@pytest.fixture
def start_fleet(instance: str, tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Start this test's workers; arguments as for `Fleet` after its first two."""
    started: list[Fleet] = []

    def start(**arguments: object) -> Fleet:
        fleet = Fleet(instance, tmp_path / "workers.log", **arguments)  # type: ignore[arg-type]
        started.append(fleet)
        return fleet

    yield start
    for fleet in started:
        fleet.close()


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One worker with default settings for all tests of a module."""
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    with private_instance() as name, Fleet(name, log) as fleet:
        yield fleet


@pytest.fixture
def scene(one_worker: Fleet) -> Iterator[Scene]:
    """The module's worker with a bystander; see `tests.workers.scene`."""
    with stage(one_worker) as scene:
        yield scene


@pytest.fixture
def make_stage(monkeypatch: pytest.MonkeyPatch) -> MakeStage:
    """Makes hubs on fakes."""
    return lambda **options: Stage(monkeypatch, **options)
