"""``relay-reload`` against a supervisor of fake workers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from relay.cli.reload import main
from tests.relay.conftest import FakeRelay


def test_workers_are_replaced(start_relay: Callable[..., FakeRelay]) -> None:
    relay = start_relay()
    relay.wait_ready()
    before = relay.worker_pids()
    assert main(["--instance", relay.instance]) == 0
    relay.wait_line("all workers run with the new configuration")
    assert not set(before) & set(relay.worker_pids())


def test_nobody_to_ask(instance: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--instance", instance]) == 1
    assert capsys.readouterr().err == (
        f"relay-reload: no relay runs instance {instance!r}; name another with --instance\n"
    )


def test_bad_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--instance", "../x"]) == 2
    assert capsys.readouterr().err.startswith("relay-reload: ")
