"""relay-supervisor as a command, with its real workers."""

from __future__ import annotations

import json
import logging
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator

import psutil
import pytest

from bus.reclaim import reclaim
from relay import logs
from relay.cli.supervisor import main
from tests.platforms import posix_only
from tests.relay.relay_process import RelayProcess

pytestmark = posix_only

Start = Callable[..., RelayProcess]


@pytest.fixture
def start(instance: str) -> Iterator[Start]:
    """Start the command with further flags."""
    started: list[RelayProcess] = []

    def start(*flags: str, module: str = "relay", **env: str) -> RelayProcess:
        command = ["-m", module, "--instance", instance, "--port", "0", *flags]
        started.append(RelayProcess(command, instance=instance, env=env))
        return started[-1]

    yield start
    for relay in started:
        relay.close()


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        body: bytes = response.read()
    return body


class TestServing:
    @pytest.mark.parametrize("module", ["relay", "relay.cli.supervisor"])
    def test_serves_and_stops(self, start: Start, module: str) -> None:
        relay = start("--workers", "2", module=module)
        url = relay.wait_ready()
        workers = json.loads(fetch(url + "api/workers"))["workers"]
        assert [each["slot"] for each in workers] == [0, 1]
        assert fetch(url + "readyz") == b"ready\n"
        assert relay.stop() == 0

    def test_leaves_nobody_when_it_is_killed(self, start: Start) -> None:
        relay = start("--workers", "2")
        relay.wait_ready()
        family = relay.descendants()
        relay.signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not alive
        relay.wait()
        reclaim(relay.instance)

    def test_tokens_are_in_no_command_line(self, start: Start) -> None:
        relay = start("--workers", "1", RELAY_PUBLISH_TOKEN="hush-hush")
        relay.wait_ready()
        commands = [psutil.Process(relay.pid), *relay.descendants()]
        assert all("hush-hush" not in " ".join(each.cmdline()) for each in commands)
        assert relay.stop() == 0
        assert "hush-hush" not in "\n".join(relay.lines)

    @pytest.mark.slow
    def test_the_demo_is_published_and_ends_with_the_relay(self, start: Start) -> None:
        pytest.importorskip("av", reason="the demo stream needs PyAV")
        relay = start("--workers", "1", "--demo")
        url = relay.wait_ready()
        relay.watch(
            lambda: any(
                each["name"] == "demo" and each["frames"] > 0
                for each in json.loads(fetch(url + "api/streams"))["streams"]
            )
        )
        assert relay.stop() == 0


@pytest.mark.usefixtures("own_logging")
class TestMistakes:
    @pytest.mark.parametrize(
        ("argv", "line"),
        [
            (["--port", "x"], "--port must be a whole number, not 'x'"),
            (["--config", "/no/such.toml"], "configuration file '/no/such.toml' cannot be read"),
            (["--view-token-file", "/no/such"], "token file '/no/such' cannot be read"),
        ],
    )
    def test_bad_input_is_one_line_and_2(
        self, argv: list[str], line: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(argv) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"relay-supervisor: error: {line}")
        assert error.count("\n") == 1

    def test_a_port_in_use_is_one_line_and_1(
        self, instance: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = str(other.getsockname()[1])
            assert main(["--instance", instance, "--port", port]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"relay-supervisor: error: port {port} on 127.0.0.1 is in use")
        assert error.count("\n") == 1


@pytest.mark.usefixtures("own_logging")
def test_log_lines_name_their_process(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning", "worker-3")
    logging.getLogger("relay.test").info("unheard")
    logging.getLogger("relay.test").warning("heard")
    (line,) = capsys.readouterr().err.splitlines()
    assert " WARNING worker-3[" in line
    assert line.endswith("] heard")
