"""Bad command lines of the real commands: one line that helps, a failure, no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from relay.config import OPTIONS
from relay.options import Option
from tests.e2e.conftest import StartRelay
from tests.e2e.relay_process import PROJECT, command
from tests.e2e.waiting import WATCHDOG

SUPERVISOR: Final = "relay.cli.supervisor"
PUBLISH: Final = "relay.cli.publish"
TOP: Final = "relay.cli.top"


def _fails(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, code: int | None = None
) -> str:
    """Run a command that must fail at once; its one line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    done = subprocess.run(
        command(module, *arguments),
        cwd=PROJECT,
        env={**clean, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
    )
    shown = f"{' '.join(arguments)}: status {done.returncode}\n{done.stderr}{done.stdout}"
    assert done.returncode > 0 if code is None else done.returncode == code, shown
    assert "Traceback" not in done.stderr, shown
    lines = done.stderr.splitlines()
    assert len(lines) == 1, shown
    assert lines[0].startswith(module.replace("relay.cli.", "relay-") + ":"), shown
    assert lines[0].isprintable() and len(lines[0]) < 500, shown
    assert done.stdout == "", shown
    return lines[0]


def _bad_values(option: Option) -> list[str]:
    """Values that ``option`` must refuse, of each kind one."""
    if option.type in (int, float):
        bounds = [option.minimum - 1] if option.minimum is not None else []
        bounds += [option.maximum + 1] if option.maximum is not None else []
        return ["many", *(f"{bound:g}" for bound in bounds)]
    if option.choices:
        return ["bogus"]
    if option.name.endswith(("_file", "_creds", "_ca", "_cert", "_key")):
        return ["/nowhere/to.be.found", "/"]
    return {
        "instance": ["../x", "", "x" * 65],
        "cluster": ["http://nats.example:4222", "nats://"],
        "cluster_name": ["", "../x", "x" * 65],
        "cluster_node": ["../x", "x" * 65],
        "host": ["", "no such host", "256.0.0.1", "203.0.113.1", "x" * 300],
    }[option.name]


FLAGS: Final = [option for option in OPTIONS if not option.secret and option.type is not bool]


@pytest.mark.slow
@pytest.mark.parametrize("option", FLAGS, ids=lambda option: str(option.flag))
def test_every_flag_of_the_supervisor_with_bad_values(option: Option, instance: str) -> None:
    """Each value is refused in a line that names the flag or the thing."""
    # Should it run after all, then where it harms nobody.
    harmless = ("--port=0", f"--instance={instance}")
    for value in _bad_values(option):
        line = _fails(SUPERVISOR, *harmless, f"{option.flag}={value}")
        assert option.flag in line or option.name.split("_")[-1] in line, line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port"], "--port"),
        (["--demo=yes"], "--demo"),
        (["--prot", "0"], "--prot"),
        (["stream"], "stream"),
        # Secrets would be in the list of processes.
        (["--publish-token=secret"], "--publish-token"),
        (["--admin-token=secret"], "--admin-token"),
        (["--config", "/nowhere/relay.toml"], "/nowhere/relay.toml"),
        (["--config", "/"], "'/'"),
    ],
)
def test_supervisor_with_bad_arguments(arguments: list[str], words: str, instance: str) -> None:
    """Flags that do not exist, lack a value, or have one too many."""
    assert words in _fails(SUPERVISOR, "--instance", instance, *arguments, code=2)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("RELAY_PORT", "http", "RELAY_PORT"),
        ("RELAY_WORKERS", "0", "RELAY_WORKERS"),
        ("RELAY_INSTANCE", "../x", "name"),
        ("RELAY_MAX_LAAG", "1", "RELAY_MAX_LAG"),
        ("RELAY_CONFIG", "/nowhere/relay.toml", "/nowhere/relay.toml"),
        ("RELAY_VIEW_TOKEN", "two words", "token"),
    ],
)
def test_supervisor_with_a_bad_environment(
    variable: str, value: str, words: str, instance: str
) -> None:
    """Variables are checked as flags are; a secret is not repeated."""
    line = _fails(SUPERVISOR, "--port=0", env={"RELAY_INSTANCE": instance, variable: value})
    assert words in line
    assert "TOKEN" not in variable or value not in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server", "configuration file"),
        ("[server]\nport = '8765'", "port"),
        ("[server]\nprot = 1", "port"),
        ("[sever]\nport = 1", "server"),
        ("port = 1", "[server]"),
        ("[viewer]\nmax_lag = true", "max_lag"),
        ("[viewer]\nmax_lag = -1", "max_lag"),
        ("[limits]\nmax_viewers = 1.5", "max_viewers"),
        ("[limits]\npublish_ring = 100000", "power of two"),
        ("[[auth.tokens]]\nstreams = ['x']", "token"),
        ("[[auth.tokens]]\ntoken = 'a'\nallow = ['fly']", "allow"),
        ("[[auth.tokens]]\ntoken_file = '/nowhere'", "/nowhere"),
        ("[auth]\ntokens = 'a'", "tokens"),
    ],
)
def test_supervisor_with_a_bad_file(text: str, words: str, tmp_path: Path, instance: str) -> None:
    """The file's mistakes are named with their section."""
    config = tmp_path / "relay.toml"
    config.write_text(text)
    line = _fails(SUPERVISOR, "--port=0", f"--instance={instance}", "--config", str(config))
    assert words in line


def test_file_that_is_no_text(tmp_path: Path, instance: str) -> None:
    """Neither a configuration nor a list of tokens."""
    noise = tmp_path / "noise"
    noise.write_bytes(b"\xff\xfe\x00")
    harmless = ("--port=0", f"--instance={instance}")
    assert str(noise) in _fails(SUPERVISOR, *harmless, "--config", str(noise))
    assert str(noise) in _fails(SUPERVISOR, *harmless, "--view-token-file", str(noise))
    noise.write_text("# nobody\n\n")
    assert str(noise) in _fails(SUPERVISOR, *harmless, "--view-token-file", str(noise))


def test_port_that_is_taken(instance: str) -> None:
    """By somebody else, or not allowed; with the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = _fails(SUPERVISOR, f"--port={port}", f"--instance={instance}", code=1)
    assert f"port {port} on 127.0.0.1 is in use" in line


PUBLISH_CASES: Final = {
    "no source": [],
    "empty source": ["", "--stream", "x", "--instance", "{instance}"],
    "no stream": ["demo"],
    "two sources": ["demo", "screen", "--stream", "x"],
    "bad stream": ["demo", "--stream", "../x"],
    "empty stream": ["demo", "--stream", ""],
    "long stream": ["demo", "--stream", "x" * 65],
    "bad instance": ["demo", "--stream", "x", "--instance", "a/b"],
    "both ways": ["demo", "--stream", "x", "--instance", "a", "--to", "ws://127.0.0.1:1"],
    "no URL": ["demo", "--stream", "x", "--to", "127.0.0.1:8765"],
    "other scheme": ["demo", "--stream", "x", "--to", "ftp://127.0.0.1"],
    "no host": ["demo", "--stream", "x", "--to", "ws://"],
    "bad port": ["demo", "--stream", "x", "--to", "ws://127.0.0.1:99999"],
    "no token file": ["demo", "--stream", "x", "--token-file", "/nowhere"],
    "two tokens": ["demo", "--stream", "x", "--token", "a", "--token-file", "/b"],
    "bad fps": ["demo", "--stream", "x", "--fps", "fast"],
    "no fps": ["demo", "--stream", "x", "--fps", "0"],
    "negative fps": ["demo", "--stream", "x", "--fps=-5"],
    "bad size": ["demo", "--stream", "x", "--size", "big"],
    "no size": ["demo", "--stream", "x", "--size", "0x0"],
    "huge size": ["demo", "--stream", "x", "--size", "99999x99999"],
    "bad codec": ["demo", "--stream", "x", "--codec", "theora"],
    "bad bitrate": ["demo", "--stream", "x", "--bitrate", "lots"],
    "no bitrate": ["demo", "--stream", "x", "--bitrate", "0"],
    "bad gop": ["demo", "--stream", "x", "--gop", "soon"],
    "bad ring": ["demo", "--stream", "x", "--ring", "1"],
    "odd ring": ["demo", "--stream", "x", "--ring", "endless"],
    "bad frames": ["demo", "--stream", "x", "--frames", "0"],
    "bad duration": ["demo", "--stream", "x", "--duration", "-1s"],
    "unknown flag": ["demo", "--stream", "x", "--fsp", "5"],
    "no file": ["/nowhere/clip.mp4", "--stream", "x", "--instance", "{instance}"],
    "a folder": ["/", "--stream", "x", "--instance", "{instance}"],
    "no clip": ["{file}", "--stream", "x", "--instance", "{instance}"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISH_CASES)
def test_publisher_with_bad_arguments(name: str, instance: str) -> None:
    """Every flag of relay-publish, and sources that are none."""
    arguments = [each.format(instance=instance, file=__file__) for each in PUBLISH_CASES[name]]
    assert " at 0x" not in _fails(PUBLISH, *arguments)


def test_top_with_bad_arguments(instance: str) -> None:
    """relay-top of nobody, of a bad name, with a flag that does not exist."""
    assert instance in _fails(TOP, "--instance", instance, code=1)
    assert "name" in _fails(TOP, "--instance", "../x", code=2)
    assert "--twice" in _fails(TOP, "--twice", code=2)


def test_top_shows_a_running_relay(start_relay: StartRelay) -> None:
    """Beside all the refusals, once what it is for."""
    relay = start_relay(workers=2)
    shown = subprocess.run(
        command(TOP, "--instance", relay.instance, "--once"),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=WATCHDOG,
        check=True,
    ).stdout
    for pid in relay.worker_pids():
        assert str(pid) in shown
