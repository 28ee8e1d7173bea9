"""The shipped examples for nginx, HAProxy and Caddy, in front of a real relay, with TLS."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from bus import Publisher
from bus.frame import decode
from tests.cluster.nats_server import free_port
from tests.deploy.files import adapted, program, run
from tests.e2e.conftest import StartRelay
from tests.e2e.library_client import close_of, message
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import wait_until
from workers.table import Column

OPERATOR = "127.0.0.1"
"""The address that these tests let in where a proxy lets its own host in..."""
STRANGER = "127.0.0.2"
"""...and one of the public."""
FRAME = 2**18
PRIVATE = ("/metrics", "/api/workers", "/api/viewers", "/api/admin/reload")


@dataclass(frozen=True)
class Proxy:
    """One that runs, and the relay behind it."""

    relay: RelayProcess
    port: int
    trust: ssl.SSLContext

    def view(self, stream: str) -> ClientConnection:
        url = f"wss://localhost:{self.port}/view/{stream}"
        client: ClientConnection = connect(url, ssl=self.trust, compression=None, max_size=None)
        return client

    def status(self, path: str, method: str = "GET", source: str = OPERATOR) -> int:
        """Of the answer; 0 when there is none."""
        client = http.client.HTTPSConnection(
            "localhost", self.port, timeout=30, source_address=(source, 0), context=self.trust
        )
        try:
            client.request(method, path)
            return client.getresponse().status
        except OSError:
            return 0
        finally:
            client.close()


def _nginx(folder: Path, port: int, upstream: int) -> list[str]:
    site = adapted(
        "proxy/nginx.conf",
        {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "127.0.0.1:8765": f"127.0.0.1:{upstream}",
            "/etc/ssl/relay.pem": f"{folder}/cert.pem",
            "/etc/ssl/relay.key": f"{folder}/key.pem",
            "/var/log/nginx/": f"{folder}/",
        },
    )
    (folder / "site.conf").write_text(site)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/errors;\n"
        f"events {{}}\nhttp {{ {temporary} include {folder}/site.conf; }}\n"
    )
    return [program("nginx"), "-p", str(folder), "-c", f"{folder}/nginx.conf"]


def _haproxy(folder: Path, port: int, upstream: int) -> list[str]:
    both = (folder / "cert.pem").read_text() + (folder / "key.pem").read_text()
    (folder / "both.pem").write_text(both)
    text = adapted(
        "proxy/haproxy.cfg",
        {
            "maxconn 20000": "maxconn 1000",
            "bind :443": f"bind 127.0.0.1:{port}",
            "/etc/haproxy/relay.pem": f"{folder}/both.pem",
            "127.0.0.1:8765": f"127.0.0.1:{upstream}",
            "src 127.0.0.0/8": f"src {OPERATOR}",
        },
    )
    (folder / "haproxy.cfg").write_text(text)
    return [program("haproxy"), "-db", "-f", f"{folder}/haproxy.cfg"]


def _caddy(folder: Path, port: int, upstream: int) -> list[str]:
    certificate = f"\ttls {folder}/cert.pem {folder}/key.pem"
    text = adapted(
        "proxy/Caddyfile",
        {
            "relay.example {": f"https://localhost:{port} {{\n{certificate}",
            "127.0.0.1:8765": f"127.0.0.1:{upstream}",
            "remote_ip 127.0.0.0/8": f"remote_ip {OPERATOR}",
        },
    )
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
    return [
        *(program("caddy"), "run", "--adapter", "caddyfile"),
        *("--config", f"{folder}/Caddyfile"),
    ]


Command = Callable[[Path, int, int], list[str]]


@pytest.fixture(params=[_nginx, _haproxy, _caddy], ids=["nginx", "haproxy", "caddy"])
def proxy(
    request: pytest.FixtureRequest, start_relay: StartRelay, tmp_path: Path
) -> Iterator[Proxy]:
    """A relay behind the proxy, both ready."""
    command: Command = request.param
    run(
        *(program("openssl"), "req", "-x509", "-newkey", "ec", "-nodes", "-subj", "/CN=localhost"),
        *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", "key.pem", "-out", "cert.pem"),
        cwd=tmp_path,
    )
    (tmp_path / "admin.token").write_text("admin-secret")
    relay = start_relay(
        *("--progress-timeout", "3600", "--user-timeout", "3600"),
        *("--admin-token-file", str(tmp_path / "admin.token")),
        workers=1,
    )
    port = free_port()
    trust = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    # For a client of two threads; see `tests.e2e.test_tls`.
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    # Programs that look for a home to keep things in get one of the test's own.
    env = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    with (tmp_path / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            command(tmp_path, port, relay.port), env=env, stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        running = Proxy(relay, port, trust)
        wait_until(
            lambda: process.poll() is not None or running.status("/readyz") == 200, "the proxy"
        )
        assert process.poll() is None, (tmp_path / "proxy.log").read_text()
        yield running
    finally:
        process.terminate()
        process.wait(30)


def test_each_frame_arrives_before_the_next_is_made(proxy: Proxy) -> None:
    """Buffering is off: whatever waited for more to come would wait for ever."""
    with (
        Publisher("cam0", codec="mjpeg", instance=proxy.relay.instance) as publisher,
        proxy.view("cam0") as viewer,
    ):
        assert message(viewer, "hello")["codec"] == "mjpeg"
        for number, size in enumerate([1, 100, 70_000, 300_000] * 10):
            payload = number.to_bytes(2) * size
            publisher.write(payload)
            data = viewer.recv()
            assert isinstance(data, bytes)
            assert decode(data).payload == payload


def stalled(proxy: Proxy) -> ssl.SSLSocket:
    """A viewer that reads nothing after the handshake."""
    raw = socket.create_connection(("localhost", proxy.port))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    viewer = proxy.trust.wrap_socket(raw, server_hostname="localhost")
    viewer.sendall(
        b"GET /view/cam0 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert viewer.recv(12) == b"HTTP/1.1 101"
    return viewer


def kernel_buffers() -> int:
    """Bytes that the kernel may hold at a proxy for one viewer: received, and not yet sent."""
    limits = (Path("/proc/sys/net/ipv4", name).read_text() for name in ("tcp_rmem", "tcp_wmem"))
    return sum(int(each.split()[2]) for each in limits)


def test_a_stalled_viewer_does_not_fill_the_proxy(proxy: Proxy) -> None:
    # Of which a proxy that buffers would take all.
    bound = kernel_buffers() + 1024 * 1024
    total = 2 * bound // FRAME * FRAME
    with (
        Publisher("cam0", codec="mjpeg", instance=proxy.relay.instance) as publisher,
        stalled(proxy),
        proxy.view("cam0") as witness,
    ):
        message(witness, "hello")
        wait_until(lambda: proxy.relay.ready_rows()[0][Column.VIEWERS] == 2, "both viewers")
        for _ in range(total // FRAME):
            publisher.write(bytes(FRAME))
            witness.recv()
        sent = proxy.relay.ready_rows()[0][Column.BYTES_SENT] - total
        assert 0 < sent < bound


@pytest.mark.parametrize("code", [1000, 3000])
def test_a_viewers_close_is_answered_with_its_code(proxy: Proxy, code: int) -> None:
    with proxy.view("cam0") as viewer:
        message(viewer, "ended")
        viewer.close(code)
    assert viewer.protocol.close_rcvd is not None
    assert viewer.protocol.close_rcvd.code == code


async def refusal(proxy: Proxy) -> ConnectionClosed | None:
    """How publishing without a token ends; None when the proxy held the answer back."""
    url = f"wss://localhost:{proxy.port}/publish/cam0"
    try:
        async with connect_async(url, ssl=proxy.trust, compression=None, open_timeout=5) as client:
            with pytest.raises(ConnectionClosed) as ended:
                await asyncio.wait_for(client.recv(), 10)
    except (TimeoutError, OSError, InvalidHandshake):
        return None
    return ended.value if ended.value.rcvd is not None else None


def test_the_relays_close_comes_with_its_reason(proxy: Proxy) -> None:
    """And the headers tell the relay that the peer is somewhere else."""
    # Not by the client that reads and writes in two threads: through Caddy it got no answer now
    # and then, where a client of one thread always had one.
    answers = (asyncio.run(refusal(proxy)) for _ in range(6))
    ended = next(filter(None, answers))
    assert ended.rcvd is not None
    assert ended.rcvd.code == 1008
    assert "through a proxy needs a token" in ended.rcvd.reason


def test_a_restart_is_told_to_viewers(proxy: Proxy) -> None:
    with proxy.view("cam0") as viewer:
        message(viewer, "ended")
        assert proxy.relay.stop() == 0
        assert close_of(viewer)[0] == 1012


def test_pages_are_served(proxy: Proxy) -> None:
    assert proxy.status("/") == 200
    assert proxy.status("/player.js") == 200


def spellings(path: str) -> set[str]:
    """Ways to write a path that a server may take for the same one."""
    first, _, rest = path[1:].partition("/")
    return {
        f"{path}?x=1",
        f"/%{ord(first[0]):02x}{path[2:]}",
        path[:-1] + f"%{ord(path[-1]):02X}",
        f"/%2e/{path[1:]}",
        f"/player.js/../{path[1:]}",
        f"//{path[1:]}",
        f"/{first}//{rest}" if rest else f"{path}/",
        path.replace("/api/", "/api%2f"),
        path.upper(),
    }


def test_what_is_for_operators_is_denied_to_the_public(proxy: Proxy) -> None:
    """However it is written; the proxy's own host gets the relay's answer."""
    for path in PRIVATE:
        method = "POST" if path.startswith("/api/admin/") else "GET"
        # 401: the relay wants its token.
        assert proxy.status(path, method) in (200, 401)
        assert proxy.status(path, method, STRANGER) == 403
        for each in spellings(path):
            assert proxy.status(each, method, STRANGER) in (301, 308, 400, 403, 404, 405), each
    assert proxy.status("/api/streams", source=STRANGER) == 200
