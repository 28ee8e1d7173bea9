"""WebSocket peers that break the rules: closed with a code and words, counted, on their own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from bus.frame import encode
from bus.names import instance_prefix
from bus.segment import list_objects
from tests.e2e import wire
from tests.e2e.bystander import bystanders
from tests.e2e.conftest import StartPublisher, StartRelay
from tests.e2e.raw_client import HELLO, RawClient, ending
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import run
from tests.e2e.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, frame, message

TEXT: Final = 0x1
REASONS: Final = ("name", "auth", "busy", "limit", "request", "protocol")


@dataclass(frozen=True, slots=True)
class Case:
    """What a peer sends once it is open, and the code that answers it.

    Attributes:
        words: what the reason must contain.
        counted: whether it counts as refused.
    """

    name: str
    sent: bytes
    code: int
    words: str = ""
    counted: bool = True


def _packed(value: Any) -> bytes:
    return frame(BINARY, msgpack.packb(value))


def _nested(depth: int) -> bytes:
    return frame(BINARY, b"\x81\xa4type" * depth + b"\xa4ping")


PROTOCOL: Final = [
    Case("text", frame(TEXT, b'{"type": "key"}'), 1003, "binary"),
    Case("unmasked", frame(BINARY, b"\x80", mask=False), 1002),
    Case("reserved bit", b"\xc2" + frame(BINARY, b"\x80")[1:], 1002),
    Case("reserved opcode", frame(0x3, b""), 1002),
    Case("reserved control opcode", frame(0xB, b""), 1002),
    Case("fragmented ping", frame(PING, b"", fin=False), 1002),
    Case("long ping", frame(PING, b"x" * 126), 1002),
    Case("continuation of nothing", frame(CONTINUATION, b"x"), 1002),
    Case("message within a message", frame(BINARY, b"x", fin=False) + frame(BINARY, b"y"), 1002),
    Case("text that is not UTF-8", frame(TEXT, b"\xff"), 1003),
    Case("length beyond all bounds", b"\x82\xff" + (2**63 - 1).to_bytes(8) + b"mask", 1009),
    Case("length with its top bit set", b"\x82\xff" + b"\xff" * 8 + b"mask", 1009),
    Case("close of one byte", frame(CLOSE, b"\x03"), 1002),
    Case("close with a forbidden code", frame(CLOSE, (1005).to_bytes(2)), 1002),
    Case("close with an unknown code", frame(CLOSE, (99).to_bytes(2)), 1002),
    Case("close whose reason is not UTF-8", frame(CLOSE, b"\x03\xe8\xff\xfe"), 1007),
    Case("empty message", frame(BINARY, b""), 1007, "msgpack map"),
    Case("no msgpack", frame(BINARY, b"\xc1\xc1"), 1007, "msgpack map"),
    Case("cut msgpack", frame(BINARY, msgpack.packb({"type": "key"})[:-1]), 1007, "msgpack map"),
    Case("two values", frame(BINARY, msgpack.packb({"type": "key"}) * 2), 1007, "msgpack map"),
    Case("a number", _packed(7), 1007, "msgpack map"),
    Case("no type", _packed({"kind": "key"}), 1007, "msgpack map"),
    Case("type is no text", _packed({"type": 7}), 1007, "msgpack map"),
    Case("type is bytes", _packed({"type": b"key"}), 1007, "msgpack map"),
    Case("unknown type", message(type="make coffee"), 1007, "make coffee"),
    Case("endless type", message(type="x" * 900), 1007),
    Case("type that is no name", message(type="\0\r\n\x1b[31m"), 1007),
    Case("deep nesting", _nested(600), 1007, "msgpack map"),
    Case("huge array announced", frame(BINARY, b"\xdd\xff\xff\xff\xff"), 1007, "msgpack map"),
    Case("huge map announced", frame(BINARY, b"\xdf\xff\xff\xff\xff"), 1007, "msgpack map"),
    Case("an extension", frame(BINARY, b"\xc7\x04\x05abcd"), 1007, "msgpack map"),
    Case("ping with text for a clock", message(type="ping", t0="now"), 1007, "t0"),
    Case("ping with a fraction", message(type="ping", t0=1.5), 1007, "t0"),
    Case("ping with true", message(type="ping", t0=True), 1007, "t0"),
    Case("ping beyond 63 bits", message(type="ping", t0=2**63), 1007, "t0"),
]
"""What neither a viewer nor a publisher may send."""

VIEWER: Final = [
    *PROTOCOL,
    Case("message of 5 KB", frame(BINARY, b"x" * 5000), 1009),
    Case(
        "5 KB in fragments",
        frame(BINARY, b"x" * 3000, fin=False) + frame(CONTINUATION, b"x" * 3000),
        1009,
    ),
    Case("a frame", frame(BINARY, encode(0, 0, 0, 1, b"x")), 1007),
    Case("a publisher's hello", message(type="hello", codec="mjpeg"), 1007, "hello"),
    Case("a relay's word", message(type="ok", stream="x", epoch=1), 1007, "ok"),
]

BAD_FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "codec": (None, 7, "", b"mjpeg", "x" * 129, "av\0c1"),
    "width": (-1, "4", 1.5, 2**32, True),
    "height": (-1, [], 65_537),
    "fps": (-1, "25", math.nan, math.inf, 1001, True),
    "init": ("text", b"x" * 12_289, 5),
}
INGEST: Final = [
    *PROTOCOL,
    Case("frame before hello", frame(BINARY, encode(0, 0, 0, 1, b"x")), 1007, "hello"),
    Case("100 KB before hello", frame(BINARY, b"\x95" + b"x" * 100_000), 1009),
    Case("a viewer's word", message(type="pause"), 1007, "pause"),
    *(
        Case(f"hello with {name} {value!r:.20}", message(**{**HELLO, name: value}), 1007, name)
        for name, values in BAD_FIELDS.items()
        for value in values
    ),
]


def _hello_then(name: str, value: Any, words: str, code: int = 1007) -> Case:
    data = value if isinstance(value, bytes) else msgpack.packb(value)
    return Case(name, message(**HELLO) + frame(BINARY, data), code, words)


FRAMES: Final = [
    _hello_then("empty array", [], ""),
    _hello_then("four values", [0, 0, 0, b"x"], ""),
    _hello_then("six values", [0, 0, 0, 1, b"x", 0], ""),
    _hello_then("seq below 0", [-1, 0, 0, 1, b"x"], "seq"),
    _hello_then("seq is text", ["0", 0, 0, 1, b"x"], "seq"),
    _hello_then("seq is true", [True, 0, 0, 1, b"x"], "seq"),
    _hello_then("seq is nil", [None, 0, 0, 1, b"x"], "seq"),
    _hello_then("pts is a fraction", [0, 0.5, 0, 1, b"x"], "pts_us"),
    _hello_then("capture below 0", [0, 0, -1, 1, b"x"], "capture_us"),
    _hello_then("flags are text", [0, 0, 0, "key", b"x"], "flags"),
    _hello_then("flags below 0", [0, 0, 0, -1, b"x"], "flags"),
    _hello_then("payload is text", [0, 0, 0, 1, "x"], "payload"),
    _hello_then("payload is an array", [0, 0, 0, 1, [b"x"]], "payload"),
    _hello_then("payload is missing", b"\x95\x00\x00\x00\x01\xc4", ""),
    _hello_then("payload is cut", b"\x95\x00\x00\x00\x01\xc4\x09x", ""),
    _hello_then("bytes behind it", msgpack.packb([0, 0, 0, 1, b"x"]) + b"x", ""),
    _hello_then("beyond the limit", [0, 0, 0, 1, b"x" * 600_000], "", code=1009),
    _hello_then("a second hello without codec", {"type": "hello"}, "codec"),
]


def test_viewers_that_break_the_rules(start_relay: StartRelay, publish: StartPublisher) -> None:
    """Each case is closed with its code and does not disturb the others."""
    relay = start_relay(workers=2)
    publish("shm", "cam0", key_every=25)
    run(_all_are_closed(relay, "/view/cam0", VIEWER))
    run(_all_are_closed(relay, "/view/nobody-publishes-this", VIEWER))


def test_publishers_that_break_the_rules(start_relay: StartRelay, publish: StartPublisher) -> None:
    """The same for ingest; none of them leaves a stream behind."""
    relay = start_relay("--max-publish-message", "500000", workers=2)
    publish("shm", "cam0", key_every=25)
    run(_all_are_closed(relay, "/publish/broken", [*INGEST, *FRAMES]))
    assert list(relay.streams()) == ["cam0"]


async def _all_are_closed(relay: RelayProcess, path: str, cases: list[Case]) -> None:
    wrong = []
    async with bystanders(relay, "cam0"):
        for case in cases:
            before = await _refused(relay)
            code, reason = await ending(relay.address, path, case.sent)
            if code != case.code or case.words not in reason:
                wrong.append(f"{case.name}: {code} {reason!r}, not {case.code} {case.words!r}")
            elif case.words and not reason.isprintable():
                wrong.append(f"{case.name}: {reason!r} is not fit to be shown")
            elif (sum((await _refused(relay)).values()) > sum(before.values())) != case.counted:
                wrong.append(f"{case.name}: {'not' if case.counted else 'wrongly'} counted")
    assert not wrong, "\n".join(wrong)
    assert not relay.errors()
    assert not relay.log_lines("WARNING")


async def _refused(relay: RelayProcess) -> dict[str, float]:
    metrics = await asyncio.to_thread(relay.metrics)
    return {why: metrics[f'relay_refused_total{{reason="{why}"}}'] for why in REASONS}


BAD_NAMES: Final = {
    "empty": "",
    "dot": ".",
    "parent": "..",
    "parent folder": "../x",
    "encoded parent folder": "%2e%2e%2fx",
    "doubly encoded": "%252e%252e",
    "folder": "a/b",
    "backslash": "a\\b",
    "hidden": ".x",
    "dash first": "-x",
    "65 characters": "x" * 65,
    "5000 characters": "x" * 5000,
    "NUL": "cam0%00",
    "line break": "cam0%0a",
    "space": "cam%200",
    "accent": "caf%C3%A9",
    "not UTF-8": "%ff",
    "full width": "%EF%BD%83am0",
    "at": "cam@0",
    "percent": "cam%",
    "wildcard": "*",
    "tilde": "cam0~",
    "colon": "a:b",
}


def test_bad_stream_names_touch_nothing(start_relay: StartRelay, publish: StartPublisher) -> None:
    """Refused with 1008 and the rule in words, for viewers and publishers, before any file."""
    relay = start_relay(workers=2)
    publish("shm", "cam0", key_every=25)

    async def scenario() -> None:
        wrong = []
        async with bystanders(relay, "cam0"):
            objects = list_objects(instance_prefix(relay.instance))
            before = await _refused(relay)
            for name, encoded in BAD_NAMES.items():
                for kind in ("view", "publish"):
                    said = message(**HELLO) if kind == "publish" else b""
                    code, reason = await ending(relay.address, f"/{kind}/{encoded}", said)
                    if code != 1008 or "name" not in reason or not reason.isprintable():
                        wrong.append(f"{kind} {name}: {code} {reason!r}")
            refused = (await _refused(relay))["name"] - before["name"]
            assert not wrong, "\n".join(wrong)
            assert refused == 2 * len(BAD_NAMES)
            assert list_objects(instance_prefix(relay.instance)) == objects

    run(scenario())
    assert not relay.errors()


def test_what_is_odd_but_allowed(start_relay: StartRelay, publish: StartPublisher) -> None:
    """Fragments, empty closes, repeated words and unknown fields are no reason to be closed."""
    relay = start_relay(workers=1)
    publish("shm", "cam0", key_every=25)
    word = msgpack.packb({"type": "ping", "t0": 5, "more": [1, {"a": None}]})
    fragments = b"".join(
        frame(BINARY if at == 0 else CONTINUATION, word[at : at + 1], fin=at == len(word) - 1)
        + frame(PING, b"between")
        for at in range(len(word))
    )
    odd = {
        "fragments with pings between": fragments,
        "pong that nobody asked for": frame(PONG, b"hello"),
        "pause twice and resume twice": (message(type="pause") + message(type="resume")) * 2,
        "resume before pause": message(type="resume"),
        "many key requests": message(type="key") * 50,
        "numbers out of this world": message(type="stats", decoded=-1, dropped=2**63, latency_ms=0),
        "no numbers": message(type="stats"),
        "ping without a clock": message(type="ping"),
    }

    async def scenario() -> None:
        async with bystanders(relay, "cam0"):
            for name, sent in odd.items():
                code, _ = await ending(relay.address, "/view/cam0", sent + wire.close_frame(3000))
                assert code == 3000, name
            code, _ = await ending(relay.address, "/view/cam0", wire.close_frame(None))
            assert code == 1000
            code, _ = await ending(relay.address, "/view/cam0?format=raw", wire.close_frame(1001))
            assert code == 1001
            assert sum((await _refused(relay)).values()) == 0

    run(scenario())
    assert not relay.errors()


def test_floods_are_cut_off(start_relay: StartRelay, publish: StartPublisher) -> None:
    """Who asks without end and reads no answer is closed; memory and bystanders do not suffer."""
    relay = start_relay(*("--max-publish-message", "100000"), workers=1)
    publish("shm", "cam0", key_every=25)

    async def flood(sent: bytes) -> None:
        client = await RawClient.connect(relay.address, receive_buffer=4096)
        try:
            await client.open("/view/nobody-publishes-this")
            for _ in range(100_000):
                await client.send(sent * 100)
            raise AssertionError("the relay takes it all")
        except (ConnectionResetError, BrokenPipeError):
            pass
        finally:
            client.close()

    floods: dict[str, Callable[[], Awaitable[None]]] = {
        "questions for the clock": lambda: flood(message(type="ping", t0=1)),
        "pings": lambda: flood(frame(PING, b"x" * 100)),
    }

    async def scenario() -> None:
        async with bystanders(relay, "cam0"):
            for attack in floods.values():
                await attack()
            assert (await _refused(relay))["protocol"] == len(floods)

    run(scenario())
    assert not relay.errors()
