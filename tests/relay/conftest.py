"""Fixtures for tests of the supervisor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.relay.relay_process import RelayProcess

FAST: Mapping[str, Mapping[str, Any]] = {
    "server": {"workers": 2, "engine": "serve"},
    "viewer": {"drain_timeout": 5.0},
    "supervision": {"restart_backoff": 0.01, "crash_limit": 3, "hang_timeout": 1.0},
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
