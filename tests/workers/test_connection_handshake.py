"""From the first byte to the end of the request: pages, handshakes, and peers with neither."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import msgpack
import pytest
from websockets.frames import Opcode

from tests.workers.client import Client, masked, upgrade_request
from tests.workers.harness import BIG_PAGE, Fleet
from tests.workers.scene import Scene, stage
from workers.settings import Limits, ViewerSettings
from workers.table import Column

GET = b"GET / HTTP/1.1\r\nHost: relay.test\r\n\r\n"
HANDSHAKE = upgrade_request("/view/quiet")

CUTS = {
    "nothing": 0,
    "first byte": 1,
    "in the method": 2,
    "in the path": 9,
    "before the line's end": HANDSHAKE.index(b"\r\n"),
    "in the line's end": HANDSHAKE.index(b"\r\n") + 1,
    "request line": HANDSHAKE.index(b"\r\n") + 2,
    "in a header's name": HANDSHAKE.index(b"Upgrade") + 3,
    "in a header's value": HANDSHAKE.index(b"websocket") + 3,
    "last header": len(HANDSHAKE) - 2,
    "all but a byte": len(HANDSHAKE) - 1,
    "all": len(HANDSHAKE),
}
LEAVE = pytest.mark.parametrize("leave", [Client.close, Client.reset], ids=["FIN", "RST"])


class TestDisconnects:
    """Peers that go in the middle of their handshake are normal."""

    @pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
    @LEAVE
    def test_after(self, scene: Scene, cut: int, leave: Callable[[Client], None]) -> None:
        client = scene.connect()
        client.send(HANDSHAKE[:cut])
        leave(client)
        scene.exchange()
        scene.gone()

    @pytest.mark.parametrize("cut", list(CUTS.values())[:-1], ids=list(CUTS)[:-1])
    def test_half_close_is_answered_with_fin(self, scene: Scene, cut: int) -> None:
        client = scene.connect()
        client.send(HANDSHAKE[:cut])
        client.finish()
        client.expect_fin()
        scene.gone()

    def test_half_close_after_a_page_request_still_gets_the_page(self, scene: Scene) -> None:
        client = scene.connect()
        client.send(GET)
        client.finish()
        assert client.read_all().endswith(b"hello\n")
        scene.gone()

    def test_half_close_after_a_request_for_a_big_page_still_gets_all_of_it(
        self, scene: Scene
    ) -> None:
        client = scene.connect(receive_buffer=8192)
        client.send(b"GET /big HTTP/1.1\r\n\r\n")
        client.finish()
        assert client.read_all().endswith(BIG_PAGE)
        scene.gone()

    @LEAVE
    def test_in_the_middle_of_a_page(self, scene: Scene, leave: Callable[[Client], None]) -> None:
        client = scene.connect(receive_buffer=8192)
        client.send(b"GET /big HTTP/1.1\r\n\r\n")
        assert client.sock.recv(1000)
        leave(client)
        scene.gone()


class TestPages:
    """Plain HTTP on the same port."""

    def test_get(self, scene: Scene) -> None:
        status, headers, body = scene.http(GET)
        assert (status, body) == (200, b"hello\n")
        assert headers["content-length"] == "6"
        assert headers["connection"] == "close"
        assert headers["x-test"] == "yes"
        assert scene.count(Column.HTTP_REQUESTS) == 1

    def test_head_has_the_length_and_no_body(self, scene: Scene) -> None:
        status, headers, body = scene.http(b"HEAD / HTTP/1.1\r\n\r\n")
        assert (status, body) == (200, b"")
        assert headers["content-length"] == "6"

    def test_http_1_0(self, scene: Scene) -> None:
        status, _, body = scene.http(b"GET / HTTP/1.0\r\n\r\n")
        assert (status, body) == (200, b"hello\n")

    def test_big_page_arrives_whole(self, scene: Scene) -> None:
        status, _, body = scene.http(b"GET /big HTTP/1.1\r\n\r\n")
        assert status == 200
        assert body == BIG_PAGE

    def test_request_is_told_to_the_page(self, scene: Scene) -> None:
        request = (
            b"GET /%65cho?a=1&a=2&b=x%20y HTTP/1.1\r\nHost: h\r\nAuthorization: bearer t0k\r\n\r\n"
        )
        assert scene.http(request)[2] == b"t0k h {'a': '1', 'b': 'x y'}"

    def test_repeated_headers_grant_nothing(self, scene: Scene) -> None:
        request = (
            b"GET /echo HTTP/1.1\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n"
            b"Host: h\r\nHost: i\r\n\r\n"
        )
        assert scene.http(request)[2] == b"None None {}"

    def test_request_byte_by_byte(self, scene: Scene) -> None:
        client = scene.connect()
        client.dribble(GET)
        assert client.read_all().endswith(b"hello\n")


LONG = b"a" * 9000
REFUSED: dict[str, tuple[int, bytes]] = {
    "unknown page": (404, b"GET /nothing HTTP/1.1\r\n\r\n"),
    "POST": (405, b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    "viewing without upgrade": (426, b"GET /view/quiet HTTP/1.1\r\n\r\n"),
    "publishing without upgrade": (426, b"GET /publish/quiet HTTP/1.1\r\n\r\n"),
    "upgrade to something else": (426, upgrade_request("/view/a", Upgrade="h2c")),
    "upgrade by POST": (405, upgrade_request("/view/a", method="POST")),
    "handshake in HTTP/1.0": (505, HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0")),
    "no key": (400, upgrade_request("/view/a", without="Sec-WebSocket-Key")),
    "bad key": (400, upgrade_request("/view/a", Sec_WebSocket_Key="short")),
    "no version": (400, upgrade_request("/view/a", without="Sec-WebSocket-Version")),
    "wrong version": (400, upgrade_request("/view/a", Sec_WebSocket_Version="8")),
    "long request line": (414, b"GET /" + LONG + b" HTTP/1.1\r\n\r\n"),
    "long header": (431, b"GET / HTTP/1.1\r\nA: " + LONG + b"\r\n\r\n"),
    "many headers": (431, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n"),
    "large header": (431, b"GET / HTTP/1.1\r\n" + (b"A: " + b"b" * 4000 + b"\r\n") * 5 + b"\r\n"),
    "large header without end": (431, b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 40_000),
    "no HTTP": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "request with a body": (400, b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
    "chunked request": (400, b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "bare newlines": (400, b"GET / HTTP/1.1\n\n"),
    "bad header": (400, b"GET / HTTP/1.1\r\nno colon\r\n\r\n"),
}


class TestRefusals:
    """Answered with a status that says why, counted once, never a traceback."""

    @pytest.mark.parametrize(("status", "request_"), REFUSED.values(), ids=REFUSED)
    def test_answers(self, scene: Scene, status: int, request_: bytes) -> None:
        answer, headers, body = scene.http(request_)
        assert answer == status
        assert headers["connection"] == "close"
        assert len(body) == int(headers["content-length"])
        assert body.endswith(b"\n")
        scene.gone()
        scene.refused(Column.REFUSED_REQUEST)

    def test_405_and_426_say_what_to_use(self, scene: Scene) -> None:
        assert scene.http(REFUSED["POST"][1])[1]["allow"] == "GET, HEAD"
        no_upgrade = REFUSED["viewing without upgrade"][1]
        assert scene.http(no_upgrade)[1]["upgrade"] == "websocket"
        scene.refused(Column.REFUSED_REQUEST, 2)

    def test_what_follows_a_refused_header_is_drained(self, scene: Scene) -> None:
        client = scene.connect()
        client.send(REFUSED["large header"][1] + b"x" * 1_000_000)
        assert client.read_all().startswith(b"HTTP/1.1 431 ")
        client.finish()
        scene.gone()
        client.assert_no_reset()
        scene.refused(Column.REFUSED_REQUEST)


class TestUpgrades:
    """Handshakes that succeed, in odd shapes."""

    def test_byte_by_byte(self, scene: Scene) -> None:
        client = scene.connect()
        client.dribble(HANDSHAKE)
        assert client.sock.recv(4096).startswith(b"HTTP/1.1 101 ")
        scene.counted(Column.HANDSHAKES, 2)

    def test_compression_is_declined(self, scene: Scene) -> None:
        client = scene.connect()
        client.send(upgrade_request("/view/quiet", Sec_WebSocket_Extensions="permessage-deflate"))
        assert b"permessage-deflate" not in client.sock.recv(4096)

    def test_several_connection_options(self, scene: Scene) -> None:
        client = scene.connect()
        client.send(upgrade_request("/view/quiet", Connection="keep-alive, Upgrade"))
        assert client.sock.recv(4096).startswith(b"HTTP/1.1 101 ")

    @pytest.mark.parametrize("pieces", [1, 2, 50])
    def test_what_follows_too_early_is_answered_after_the_handshake(
        self, scene: Scene, pieces: int
    ) -> None:
        client = scene.connect()
        ping = msgpack.packb({"type": "ping", "t0": 99})
        stream = HANDSHAKE + masked(Opcode.PING, b"a") + masked(2, ping) + masked(8, b"\x03\xe8")
        for index in range(pieces):
            start, stop = (len(stream) * part // pieces for part in (index, index + 1))
            client.send(stream[start:stop])
        answer = client.read_all()
        head, _, frames = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"\x8a\x01a" in frames
        assert b"pong" in frames
        assert frames.endswith(b"\x88\x02\x03\xe8")
        client.assert_no_reset()
        client.close()
        scene.gone()

    @pytest.mark.parametrize("early", [b"\x82\x01a", masked(1, b"text")], ids=["violation", "text"])
    def test_too_early_and_wrong(self, scene: Scene, early: bytes) -> None:
        client = scene.connect()
        client.send(HANDSHAKE + early)
        assert client.sock.recv(12) == b"HTTP/1.1 101"
        client.finish()
        client.read_all()
        scene.gone()
        scene.refused(Column.REFUSED_PROTOCOL)

    def test_of_two_requests_in_one_segment_the_first_is_answered(self, scene: Scene) -> None:
        answer = scene.http(GET + GET)
        assert answer[0] == 200
        assert answer[2] == b"hello\n"


@pytest.fixture
def impatient(start_fleet: Callable[..., Fleet]) -> Iterator[Scene]:
    """A worker that gives a header, and a slow reader of a page, half a second."""
    fleet = start_fleet(
        limits=Limits(header_timeout=0.5), viewer=ViewerSettings(progress_timeout=0.5)
    )
    with stage(fleet) as scene:
        yield scene


class TestSlowRequests:
    """A header must be complete in time, however it trickles in."""

    def test_a_connection_without_a_byte_is_closed_without_complaint(
        self, impatient: Scene
    ) -> None:
        # Browsers open connections ahead of need.
        client = impatient.connect()
        client.expect_fin()
        impatient.gone()

    def test_half_a_header(self, impatient: Scene) -> None:
        client = impatient.connect()
        client.send(HANDSHAKE[:40])
        assert client.read_all().startswith(b"HTTP/1.1 408 ")
        client.assert_no_reset()
        client.close()
        impatient.gone()
        impatient.refused(Column.REFUSED_REQUEST)

    def test_activity_does_not_prolong_it(self, impatient: Scene) -> None:
        client = impatient.connect()
        client.send(b"GET / HTTP/1.1\r\nX: ")
        answer = b""
        while not answer:
            client.send(b"x")
            answer = client.read_available(0.02)
        assert answer.startswith(b"HTTP/1.1 408 ")
        client.close()
        impatient.gone()
        impatient.refused(Column.REFUSED_REQUEST)

    def test_a_page_that_nobody_reads_is_given_up(self, impatient: Scene) -> None:
        client = impatient.connect(receive_buffer=4096)
        client.send(b"GET /big HTTP/1.1\r\n\r\n")
        impatient.gone()
        received = 0
        # What the kernel had still arrives; then FIN or RST, as it likes.
        with contextlib.suppress(ConnectionError):
            while data := client.sock.recv(1 << 16):
                received += len(data)
        assert received < len(BIG_PAGE)

    def test_a_slow_reader_of_a_page_gets_all_of_it(self, impatient: Scene) -> None:
        client = impatient.connect(receive_buffer=4096)
        began = time.monotonic()
        client.send(b"GET /big HTTP/1.1\r\n\r\n")
        received = 0
        while data := client.sock.recv(1 << 17):
            received += len(data)
            # Its pace: four times as long for the whole page as it may do nothing.
            time.sleep(2.0 * len(data) / len(BIG_PAGE))
        assert received > len(BIG_PAGE)
        assert time.monotonic() - began > 0.5, "it was not slow"
        client.assert_no_reset()
