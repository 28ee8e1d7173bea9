"""The TLS layer between a transport and a protocol that are not there: bytes only."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from tests.certificates import Pair, make_pair
from workers.certificate import Certificate, server_context
from workers.tls import TlsLayer


class Below(asyncio.Transport):
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.ended = self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 77


class Above(asyncio.Protocol):
    """A protocol that keeps what it gets, and closes at the end."""

    def __init__(self) -> None:
        self.received = b""
        self.ends = 0

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> bool:
        self.ends += 1
        return False


class Scene:
    """A layer and a client that trusts it."""

    def __init__(self, pair: Pair) -> None:
        pem = pair.key.read_bytes() + pair.cert.read_bytes()
        self.below, self.above = Below(), Above()
        self.failures: list[str] = []
        context = server_context(Certificate(pem))
        self.layer = TlsLayer(context, self.above, self.failures.append)
        self.layer.connection_made(self.below)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = pair.trust().wrap_bio(self._in, self._out, server_hostname="localhost")

    def exchange(self, *, step: int = 1 << 20) -> None:
        """Carry what both have to say, in pieces of ``step`` bytes."""
        data = self._out.read()
        for at in range(0, len(data), step):
            self.layer.data_received(data[at : at + step])
        sent, self.below.sent = bytes(self.below.sent), bytearray()
        self._in.write(sent)

    def shake(self, *, step: int = 1 << 20) -> None:
        while True:
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange(step=step)
            else:
                self.exchange(step=step)
                return

    def read(self) -> bytes:
        """All that the client can read now."""
        self.exchange()
        found = b""
        while True:
            try:
                part = self.client.read(1 << 20)
            except ssl.SSLWantReadError:
                return found
            if not part:
                return found + b"<end>"
            found += part


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def scene(pair: Pair) -> Scene:
    return Scene(pair)


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_both_directions_in_pieces_of_any_size(scene: Scene, step: int) -> None:
    scene.shake(step=step)
    scene.client.write(b"request" * 3000)
    scene.exchange(step=step)
    assert scene.above.received == b"request" * 3000
    scene.layer.write(b"answer" * 100_000)
    assert scene.read() == b"answer" * 100_000


def test_what_waits_is_what_waits_below(scene: Scene) -> None:
    """Nothing is held back here, so flow control of the transport is that of the viewer."""
    scene.shake()
    scene.layer.write(b"x" * 100_000)
    assert len(scene.below.sent) > 100_000
    assert scene.layer.get_write_buffer_size() == 77


def test_our_end_comes_after_all_that_was_written(scene: Scene) -> None:
    scene.shake()
    scene.layer.write(b"last words")
    scene.layer.write_eof()
    assert scene.below.ended and not scene.below.closed
    assert scene.read() == b"last words<end>"
    # Said once.
    scene.layer.write_eof()
    scene.layer.close()
    assert not scene.below.sent and scene.below.closed
    # What the peer still says is dropped, until its end.
    scene.client.write(b"late")
    scene.exchange()
    assert scene.above.received == b"" and not scene.failures


def test_the_peers_end_is_told_once(scene: Scene) -> None:
    scene.shake()
    scene.client.write(b"bye")
    with pytest.raises(ssl.SSLWantReadError):
        scene.client.unwrap()
    scene.exchange()
    assert (scene.above.received, scene.above.ends) == (b"bye", 1)
    assert scene.below.closed
    scene.layer.eof_received()
    assert scene.above.ends == 1


def test_plain_http_is_told_where_it_is(scene: Scene) -> None:
    scene.layer.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"400 Bad Request" in scene.below.sent and b"use https://" in scene.below.sent
    assert scene.below.closed and scene.failures == ["http request"]


def test_nonsense_ends_it(scene: Scene) -> None:
    scene.shake()
    scene.layer.data_received(b"\x17\x03\x03\x00\x20" + bytes(32))
    assert scene.below.closed and len(scene.failures) == 1
    scene.layer.data_received(b"more")
    assert len(scene.failures) == 1 and scene.above.received == b""


def test_old_versions_are_refused(scene: Scene, pair: Pair) -> None:
    context = pair.trust()
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    scene.client = context.wrap_bio(scene._in, scene._out, server_hostname="localhost")
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        scene.shake()
    assert scene.failures == ["unsupported protocol"]


def test_nothing_is_written_before_the_handshake(scene: Scene) -> None:
    scene.layer.write(b"early")
    scene.layer.close()
    assert not scene.below.sent and scene.below.closed
