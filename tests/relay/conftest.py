"""Fixtures for tests of the supervisor and of its set of workers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from relay.fleet import table_rows
from tests.relay.fleet_harness import SUPERVISION, Harness
from tests.relay.relay_process import RelayProcess
from workers.table import WorkerTable

FAST: Mapping[str, Mapping[str, Any]] = {
    "server": {"workers": 2, "engine": "serve"},
    "viewer": {"drain_timeout": 5.0},
    # A worker that is only slow must not pass for one that hangs.
    "supervision": {"restart_backoff": 0.01, "crash_limit": 3, "hang_timeout": 30.0},
}


class FakeRelay(RelayProcess):
    """A supervisor of fake workers.

    Attributes:
        settings: file that it reads its settings from.
    """

    def __init__(self, instance: str, path: Path, **settings: Mapping[str, Any]) -> None:
        self.settings = path
        self.configure(**settings)
        super().__init__(["-m", "tests.relay.fake_relay", instance, str(path)], instance=instance)

    def configure(self, **settings: Mapping[str, Any]) -> None:
        """Write other settings, over the ones that make tests fast."""
        names = FAST.keys() | settings.keys()
        merged = {name: {**FAST.get(name, {}), **settings.get(name, {})} for name in names}
        self.settings.write_text(json.dumps(merged))


@pytest.fixture
def start_relay(instance: str, tmp_path: Path) -> Iterator[Callable[..., FakeRelay]]:
    """Start a supervisor of fake workers; sections of settings as keywords."""
    started: list[FakeRelay] = []

    def start(**settings: Mapping[str, Any]) -> FakeRelay:
        relay = FakeRelay(instance, tmp_path / f"{len(started)}.json", **settings)
        started.append(relay)
        return relay

    yield start
    for relay in started:
        relay.close()


@pytest.fixture
def table(instance: str) -> Iterator[WorkerTable]:
    table = WorkerTable.create(instance, table_rows(2), os.getpid())
    yield table
    table.unlink()
    table.close()


@pytest.fixture
def harness(table: WorkerTable) -> Harness:
    """Two workers, ready."""
    harness = Harness(table, 2, SUPERVISION)
    harness.all_ready()
    harness.look()
    return harness
