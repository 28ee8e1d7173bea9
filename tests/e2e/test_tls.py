"""TLS in the relay itself: viewers, publishers, and a certificate that is renewed under them."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import msgpack
import pytest
from websockets.sync.client import ClientConnection, connect

from bus.frame import decode
from tests.certificates import Pair, make_pair
from tests.e2e.conftest import StartRelay
from tests.e2e.library_client import close_of, message
from tests.e2e.relay import Relay
from tests.e2e.relay_process import command
from tests.e2e.remote_publisher import RemotePublisher
from tests.e2e.waiting import wait_until
from workers.table import Column


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


@pytest.fixture
def relay(start_relay: StartRelay, pair: Pair) -> Relay:
    return start_relay(*pair.flags, workers=2)


def dial(relay: Relay, pair: Pair, path: str) -> ClientConnection:
    url = f"wss://localhost:{relay.port}{path}"
    trust = pair.trust()
    # This client reads in one thread and writes in another. OpenSSL allows that to nobody, and
    # with the tickets that follow a handshake of TLS 1.3 a request got lost now and then.
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    client: ClientConnection = connect(url, ssl=trust, compression=None, max_size=None)
    return client


def served(relay: Relay) -> bytes:
    """The certificate that a new connection gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(relay.address) as raw, context.wrap_socket(raw) as client:
        return client.getpeercert(binary_form=True) or b""


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.cert.read_text())


def test_frames_come_whole_and_in_order(relay: Relay, pair: Pair) -> None:
    assert f"ready on https://127.0.0.1:{relay.port}/" in relay.output
    with (
        dial(relay, pair, "/publish/cam0") as source,
        dial(relay, pair, "/view/cam0") as viewer,
    ):
        publisher = RemotePublisher(source, "mjpeg")
        assert message(viewer, "hello")["codec"] == "mjpeg"
        for number, size in enumerate([1, 100, 70_000, 1_500_000] * 5):
            payload = number.to_bytes(2) * size
            publisher.write(payload)
            data = viewer.recv()
            assert isinstance(data, bytes)
            assert decode(data).payload == payload
        viewer.close(3000)
        assert viewer.protocol.close_rcvd is not None
        assert viewer.protocol.close_rcvd.code == 3000
    assert not relay.errors()


def test_a_stalled_viewer_is_closed_and_costs_nobody(start_relay: StartRelay, pair: Pair) -> None:
    """The one frame in flight is the kernel's: what it does not take is seen, and timed."""
    relay = start_relay(*pair.flags, "--progress-timeout", "2", "--max-lag", "0.2", workers=1)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    raw.connect(relay.address)
    with (
        dial(relay, pair, "/publish/cam0") as source,
        pair.trust().wrap_socket(raw, server_hostname="localhost") as stalled,
        dial(relay, pair, "/view/cam0") as witness,
    ):
        publisher = RemotePublisher(source, "mjpeg")
        stalled.sendall(
            b"GET /view/cam0 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert stalled.recv(12) == b"HTTP/1.1 101"
        message(witness, "hello")
        wait_until(lambda: relay.ready_rows()[0][Column.VIEWERS] == 2, "both viewers")
        for _ in range(64):
            publisher.write(bytes(1 << 20))
            witness.recv()
        row = relay.ready_rows()[0]
        # Far less than all went to who reads nothing.
        assert row[Column.BYTES_SENT] < 80 << 20
        wait_until(lambda: relay.ready_rows()[0][Column.CLOSED_STALLED] == 1, "its end")
        publisher.write(b"after")
        assert witness.recv()
    assert not relay.errors()


def test_a_renewed_certificate_reaches_newcomers_and_disturbs_nobody(
    relay: Relay, pair: Pair, tmp_path: Path
) -> None:
    pids = relay_pids(relay)
    before = der(pair)
    with (
        dial(relay, pair, "/publish/cam0") as source,
        dial(relay, pair, "/view/cam0") as viewer,
    ):
        publisher = RemotePublisher(source, "mjpeg")
        message(viewer, "hello")
        assert served(relay) == before
        for number in itertools.count():
            publisher.write(number.to_bytes(4))
            data = viewer.recv()
            assert isinstance(data, bytes) and decode(data).payload == number.to_bytes(4)
            if number == 2:
                make_pair(tmp_path)
                relay.reload()
            elif number > 2 and served(relay) == der(pair):
                break
        # Every worker has it.
        wait_until(
            lambda: all(served(relay) == der(pair) for _ in range(8)), "the new one everywhere"
        )
        publisher.write(b"still here")
        data = viewer.recv()
        assert isinstance(data, bytes) and decode(data).payload == b"still here"
    assert relay_pids(relay) == pids
    assert relay.log_lines("all workers have the new TLS certificate")
    assert not relay.errors()


def relay_pids(relay: Relay) -> list[int]:
    return [row[Column.PID] for row in relay.ready_rows()]


def test_a_certificate_that_cannot_be_used_changes_nothing(
    relay: Relay, pair: Pair, tmp_path: Path
) -> None:
    before = der(pair)
    other = make_pair(tmp_path, "other")
    shutil.copy(other.key, pair.key)
    relay.reload()
    wait_until(lambda: relay.log_lines("the configuration is not reloaded"), "the complaint")
    assert relay.log_lines("is not that of its first certificate")
    assert served(relay) == before
    # A worker that starts now has what the supervisor read.
    victim = relay_pids(relay)[0]
    relay.kill_worker(victim)
    wait_until(lambda: len(relay_pids(relay)) == 2 and victim not in relay_pids(relay), "another")
    assert {served(relay) for _ in range(8)} == {before}


def test_an_unchanged_certificate_lets_a_reload_replace_workers(relay: Relay) -> None:
    before = set(relay_pids(relay))
    relay.reload()
    wait_until(
        lambda: len(relay_pids(relay)) == 2 and before.isdisjoint(relay_pids(relay)), "new workers"
    )


def test_relay_publish_over_wss(relay: Relay, pair: Pair) -> None:
    pytest.importorskip("av")
    publisher = subprocess.Popen(
        command(
            "relay.publish",
            *("demo", "--stream", "cam0", "--to", f"wss://localhost:{relay.port}"),
            "--exit-with-parent",
        ),
        env={**os.environ, "SSL_CERT_FILE": str(pair.cert)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        with dial(relay, pair, "/view/cam0") as viewer:
            assert message(viewer, "hello")["codec"]
            frames = 0
            while frames < 30:
                frames += not isinstance(msgpack.unpackb(viewer.recv()), dict)
    finally:
        publisher.terminate()
        publisher.communicate(timeout=30)


def test_a_publisher_that_trusts_nobody_says_so(relay: Relay) -> None:
    done = subprocess.run(
        command(
            "relay.publish",
            *("demo", "--stream", "cam0", "--to", f"wss://localhost:{relay.port}"),
        ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "certificate is not valid" in done.stderr and "Traceback" not in done.stderr


def test_peers_that_break_tls_are_counted(relay: Relay) -> None:
    with socket.create_connection(relay.address) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while part := plain.recv(4096):
            answer += part
    assert b"use https:// or wss://" in answer
    for nonsense in (b"\x00" * 64, b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01"):
        with socket.create_connection(relay.address) as peer:
            peer.sendall(nonsense)
    wait_until(lambda: sum(row[Column.REFUSED_TLS] for row in relay.ready_rows()) == 3, "the count")
    wait_until(lambda: sum(row[Column.CONNECTIONS] for row in relay.ready_rows()) == 0, "their end")
    assert not relay.errors()


def test_it_stops_in_order(relay: Relay, pair: Pair) -> None:
    with dial(relay, pair, "/view/cam0") as viewer:
        message(viewer, "ended")
        assert relay.stop() == 0
        assert close_of(viewer)[0] == 1012


@pytest.mark.parametrize("flags", [("--tls-cert", "missing.pem"), ("--tls-key", "x.key")])
def test_bad_files_are_one_line(start_relay: StartRelay, flags: tuple[str, ...]) -> None:
    relay = start_relay(*flags, ready=False)
    assert relay.wait() == 2
    lines = relay.log().splitlines()
    assert len(lines) == 1 and lines[0].startswith("relay-supervisor: error: ")
