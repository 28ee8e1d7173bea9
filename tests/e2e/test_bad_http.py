"""Requests as nobody should send them: a clear answer, counted, and nobody else disturbed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from tests.e2e import wire
from tests.e2e.bystander import bystanders
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.raw_client import RawClient
from tests.e2e.relay_process import RelayProcess
from tests.e2e.viewers import Address
from tests.e2e.waiting import run, until

_HOST: Final = b"Host: relay.test\r\n"
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """A request and the status that answers it; 0: the relay may just hang up.

    Attributes:
        counted: whether it counts as refused.
    """

    name: str
    request: bytes
    status: int
    counted: bool = True


def _get(path: str, *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: relay.test", *headers]
    return "\r\n".join(lines).encode("latin-1") + _END


def _upgrade(path: str, without: str = "", **replaced: str) -> bytes:
    fields = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "c2l4dGVlbiBieXRlcyBvaw==",
        "Sec-WebSocket-Version": "13",
    } | {name.replace("_", "-"): value for name, value in replaced.items()}
    return _get(path, *(f"{name}: {value}" for name, value in fields.items() if name != without))


CASES: Final = [
    # Pages that do not exist, in all the ways of asking for files that must not be served.
    Case("unknown page", _get("/nothing"), 404),
    Case("parent folder", _get("/../pyproject.toml"), 404),
    Case("parent folder behind a page", _get("/player/../../auth.py"), 404),
    Case("encoded parent folder", _get("/%2e%2e/%2e%2e/etc/passwd"), 404),
    Case("encoded slash", _get("/..%2f..%2fetc%2fpasswd"), 404),
    Case("double encoding", _get("/%252e%252e/auth.py"), 404),
    Case("backslashes", _get("/..\\..\\auth.py"), 404),
    Case("NUL", _get("/player.js%00.html"), 404),
    Case("not UTF-8", _get("/%ff%fe"), 404),
    Case("a folder", _get("/player/"), 404),
    Case("the page's file name", _get("/index.html"), 404),
    Case("a page of a bad stream", _get("/watch/..%2fx"), 404, counted=False),
    Case("a page of an endless stream", _get("/watch/" + "x" * 65), 404, counted=False),
    Case("API with a slash", _get("/api/streams/"), 404),
    # Methods.
    Case("POST", _get("/", "Content-Length: 4", method="POST") + b"data", 400),
    Case("POST of nothing", _get("/", method="POST"), 405),
    Case("PUT", _get("/view/cam0", method="PUT"), 426),
    Case("DELETE", _get("/api/streams", method="DELETE"), 405),
    Case("OPTIONS", _get("/", method="OPTIONS"), 405),
    Case("CONNECT", _get("relay.test:443", method="CONNECT"), 405),
    Case("unknown method", _get("/", method="BREW"), 405),
    # Not HTTP.
    Case("noise", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x80" * 60 + _END, 400),
    Case("one word", b"hello" + _END, 400),
    Case("HTTP/0.9", b"GET /" + _END, 400),
    Case("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    Case("empty lines", b"\r\n" * 8, 400),
    Case("header without colon", b"GET / HTTP/1.1\r\n" + _HOST + b"nonsense" + _END, 400),
    Case("space before colon", b"GET / HTTP/1.1\r\nHost : x" + _END, 400),
    Case("NUL in a header", b"GET / HTTP/1.1\r\n" + _HOST + b"X: a\0b" + _END, 400),
    Case("control character in the path", b"GET /\x01 HTTP/1.1\r\n" + _HOST + b"\r\n", 404),
    # Sizes.
    Case("endless path", _get("/" + "x" * 9000), 414),
    Case("endless header", _get("/", "X: " + "y" * 9000), 431),
    Case("endless headers", _get("/", *(f"X-{n}: {'y' * 90}" for n in range(200))), 431),
    Case("too many headers", _get("/", *(f"X{n}: y" for n in range(200))), 431),
    Case("64 KB of header without end", b"GET / HTTP/1.1\r\nX: " + b"y" * 65_536, 431),
    # Almost a handshake.
    Case("view without upgrade", _get("/view/cam0"), 426),
    Case("publish without upgrade", _get("/publish/cam0"), 426),
    Case("no key", _upgrade("/view/cam0", without="Sec-WebSocket-Key"), 400),
    Case("bad key", _upgrade("/view/cam0", Sec_WebSocket_Key="short"), 400),
    Case("no version", _upgrade("/view/cam0", without="Sec-WebSocket-Version"), 400),
    Case("old version", _upgrade("/view/cam0", Sec_WebSocket_Version="8"), 400),
    Case("upgrade to something else", _upgrade("/view/cam0", Upgrade="h2c"), 426),
    Case("upgrade of a page", _upgrade("/api/streams"), 200, counted=False),
    Case("upgrade of nothing", _upgrade("/nothing"), 404),
]


def test_bad_requests_are_answered_and_counted(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """Every case: its status, an end of the connection, and a count in /metrics."""
    relay = start_relay(workers=2)
    publish("shm", "cam0", key_every=25)

    async def scenario() -> None:
        wrong = []
        async with bystanders(relay, "cam0"):
            for case in CASES:
                before = await _refused(relay)
                status, answer = await _ask(relay.address, case.request)
                if status != case.status:
                    wrong.append(f"{case.name}: {status}, not {case.status}: {answer[:100]!r}")
                elif (await _refused(relay) > before) != case.counted:
                    wrong.append(f"{case.name}: {'not' if case.counted else 'wrongly'} counted")
        assert not wrong, "\n".join(wrong)

    run(scenario())
    assert not relay.errors()
    assert not relay.log_lines("WARNING")


async def _ask(address: Address, request: bytes) -> tuple[int, bytes]:
    """The status of the answer, 0 when there is none; waits until the relay has hung up."""
    client = await RawClient.connect(address)
    try:
        await client.send(request)
        answer = await client.to_the_end()
    except ConnectionResetError:
        return 0, b"reset"
    finally:
        client.close()
    head = answer.partition(b"\r\n")[0].split()
    if len(head) < 2 or not head[0].startswith(b"HTTP/1."):
        return 0, answer
    return int(head[1]), answer


async def _refused(relay: RelayProcess) -> float:
    return (await asyncio.to_thread(relay.metrics))['relay_refused_total{reason="request"}']


def test_slow_requests_are_ended_by_the_deadline(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """A header that trickles in gets 408; a connection that says nothing is just closed."""
    relay = start_relay("--header-timeout", "2", workers=1)
    publish("shm", "cam0", key_every=25)

    async def trickle() -> tuple[int, bytes]:
        client = await RawClient.connect(relay.address)
        listening = asyncio.create_task(client.to_the_end())
        request = wire.request("/view/cam0", "relay.test") * 1000
        try:
            for at in range(len(request)):
                if listening.done():
                    break
                await client.send(request[at : at + 1])
                await asyncio.sleep(0.05)
            answer = await listening
        finally:
            client.close()
        return int(answer.split()[1]), answer

    async def silent() -> bytes:
        client = await RawClient.connect(relay.address)
        try:
            return await client.to_the_end()
        finally:
            client.close()

    async def scenario() -> None:
        async with bystanders(relay, "cam0"):
            before = await _refused(relay)
            found = await asyncio.gather(*(trickle() for _ in range(5)), silent(), silent())
            assert [each[0] for each in found[:5] if isinstance(each, tuple)] == [408] * 5
            assert found[5:] == [b"", b""]
            assert await _refused(relay) == before + 5

    run(scenario())
    assert not relay.errors()


def test_good_requests_are_answered_in_full(
    start_relay: StartRelay, publish: StartPublisher
) -> None:
    """All pages, also by HEAD, in pieces, and to one that reads slowly."""
    relay = start_relay("--progress-timeout", "5", workers=2)
    publish("shm", "cam0", key_every=25)

    async def scenario() -> None:
        async with bystanders(relay, "cam0"):
            pages = ("/", "/watch/cam0", "/player.js", "/api/streams", "/api/workers")
            for path in (*pages, "/metrics", "/healthz", "/readyz"):
                reply = await asyncio.to_thread(relay.get, path)
                assert reply.status == 200, path
                assert int(reply.headers["content-length"]) == len(reply.body) > 0
                status, answer = await _ask(relay.address, _get(path, method="HEAD"))
                assert status == 200 and answer.endswith(_END), path
            client = await RawClient.connect(relay.address)
            for byte in _get("/healthz"):
                await client.send(bytes((byte,)))
            assert (await client.to_the_end()).endswith(b"ok\n")
            client.close()
            slow = await RawClient.connect(relay.address, receive_buffer=2048)
            await slow.send(_get("/"))
            page = bytearray()
            while chunk := await slow.receive(512):
                page += chunk
                await asyncio.sleep(0.005)
            slow.close()
            body = (await asyncio.to_thread(relay.get, "/")).body
            assert bytes(page).endswith(body)
            await until(lambda: len(relay.ready_rows()) == 2, "both workers")

    run(scenario())
    assert not relay.errors()
