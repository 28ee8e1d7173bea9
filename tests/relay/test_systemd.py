"""What systemd offers, played by the test."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from relay.errors import ListenError
from relay.systemd import Notifier, inherited_listener
from tests.platforms import posix_only
from tests.relay.relay_process import RelayProcess

pytestmark = posix_only

EXECUTE_ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class TestNotifier:
    @pytest.mark.parametrize("abstract", [False, True])
    def test_sends_states(self, tmp_path: Path, abstract: bool) -> None:
        name = f"@relay-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(name.replace("@", "\0", 1) if abstract else name)
            env = {
                "NOTIFY_SOCKET": name,
                "WATCHDOG_USEC": "2500000",
                "WATCHDOG_PID": str(os.getpid()),
                "HOME": "/",
            }
            notifier = Notifier(env)
            assert env == {"HOME": "/"}
            assert notifier.watchdog == 2.5
            notifier.ready("serving")
            notifier.reloading(12)
            notifier.alive()
            notifier.stopping()
            received = [receiver.recv(1024) for _ in range(4)]
        assert received == [
            b"READY=1\nSTATUS=serving",
            b"RELOADING=1\nMONOTONIC_USEC=12",
            b"WATCHDOG=1",
            b"STOPPING=1",
        ]

    @pytest.mark.parametrize(
        "env",
        [
            {},
            {"NOTIFY_SOCKET": "/no/such/socket"},
            {"NOTIFY_SOCKET": "/no/such/socket", "WATCHDOG_USEC": "x"},
            {"NOTIFY_SOCKET": "/no/such/socket", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "1000000"},
        ],
    )
    def test_does_nothing_where_nobody_listens(self, env: dict[str, str]) -> None:
        notifier = Notifier(env)
        notifier.ready("serving")
        notifier.alive()
        assert notifier.watchdog is None


class TestActivation:
    @pytest.mark.parametrize(
        "env",
        [
            {},
            {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
            {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        ],
    )
    def test_nothing_for_us(self, env: dict[str, str]) -> None:
        assert inherited_listener(env) is None
        assert env == {}

    def test_one_socket_only(self) -> None:
        with pytest.raises(ListenError, match="systemd passed 2 sockets"):
            inherited_listener({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})

    def test_a_relay_takes_the_socket_and_tells_its_state(
        self, instance: str, tmp_path: Path
    ) -> None:
        settings = tmp_path / "settings.json"
        settings.write_text('{"server": {"workers": 1, "engine": "serve"}}')
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        ):
            receiver.bind(str(tmp_path / "notify"))
            receiver.settimeout(60)
            fd = listener.fileno()
            relay = RelayProcess(
                [
                    "-c",
                    EXECUTE_ACTIVATED,
                    str(fd),
                    "-m",
                    "tests.relay.fake_relay",
                    instance,
                    str(settings),
                ],
                instance=instance,
                env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"},
                pass_fds=[fd],
            )
            try:
                port = listener.getsockname()[1]
                assert relay.wait_ready() == f"http://127.0.0.1:{port}/"
                wait_for(receiver, b"READY=1")
                wait_for(receiver, b"WATCHDOG=1")
                relay.signal(signal.SIGHUP)
                wait_for(receiver, b"RELOADING=1")
                wait_for(receiver, b"READY=1")
                relay.signal(signal.SIGTERM)
                wait_for(receiver, b"STOPPING=1")
                assert relay.wait() == 0
            finally:
                relay.close()


def wait_for(receiver: socket.socket, state: bytes) -> None:
    """Read states until this one."""
    while not receiver.recv(1024).startswith(state):
        pass
