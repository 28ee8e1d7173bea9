"""Structured logs of a real relay: whose line it is, and never a flood of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import msgpack
from websockets.sync.client import connect

from tests.e2e.conftest import StartRelay
from tests.e2e.raw_client import RawClient
from tests.e2e.relay_process import RelayProcess
from tests.e2e.waiting import wait_until
from workers.table import Column

STORM = 200
BURST = 20
"""Lines of one kind that a worker may write at once; after that it is one in a second."""


def lines(relay: RelayProcess) -> list[dict[str, Any]]:
    """All of them; each is an object by itself."""
    return [json.loads(line) for line in relay.log().splitlines()]


def told(relay: RelayProcess, words: str) -> list[dict[str, Any]]:
    return [line for line in lines(relay) if words in line["message"]]


async def storm(relay: RelayProcess, requests: list[bytes]) -> None:
    """Bad peers, some at a time, each gone when it was answered."""

    async def one(request: bytes) -> None:
        client = await RawClient.connect(relay.address)
        with contextlib.suppress(ConnectionError):
            await client.send(request)
            await client.to_the_end()
        client.close()

    for start in range(0, len(requests), 50):
        await asyncio.gather(*map(one, requests[start : start + 50]))


def test_bad_peers_fill_no_disk(start_relay: StartRelay) -> None:
    begun = time.monotonic()
    # They answer no Close, and must not be waited for.
    relay = start_relay("--log-format", "json", "--close-timeout", "0.1", workers=1)
    head = "HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    keys = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    bad_name = f"GET /view/%20 {head}{keys}".encode()
    text = f"GET /view/cam0 {head}{keys}".encode() + b"\x81\x81\0\0\0\0x"
    asyncio.run(storm(relay, [bad_name, text] * (STORM // 2)))
    row = relay.ready_rows()[0]
    refused = row[Column.REFUSED_NAME] + row[Column.REFUSED_PROTOCOL]
    assert refused == STORM
    found = told(relay, "refused")
    assert 0 < len(found) <= BURST + time.monotonic() - begun
    assert sum(line.get("suppressed", 0) for line in found) <= STORM - len(found)
    assert {(line["worker"], line["address"]) for line in found} == {(0, "127.0.0.1")}
    # Who got as far as a stream is named with it.
    known = [line for line in found if "text" in line["message"]]
    assert known and all(line["stream"] == "cam0" and line["viewer"] for line in known)


def test_a_reload_storm_at_its_most_talkative(start_relay: StartRelay) -> None:
    begun = time.monotonic()
    relay = start_relay("--log-format", "json", "--log-level", "debug", workers=1)
    url = f"ws://127.0.0.1:{relay.port}/view/cam0"
    for _ in range(100):
        with connect(url) as viewer:
            viewer.recv()
    wait_until(lambda: relay.ready_rows()[0][Column.HANDSHAKES] == 100, "all of them")
    watched = told(relay, "watches")
    assert 0 < len(watched) <= BURST + time.monotonic() - begun
    assert all(line["stream"] == "cam0" and line["worker"] == 0 for line in watched)
    ids = [line["viewer"] for line in watched]
    assert len(set(ids)) == len(ids) and ids[0] == "0.1.1"


def test_publishers_have_ids_as_well(start_relay: StartRelay) -> None:
    relay = start_relay("--log-format", "json", workers=1)
    with connect(f"ws://127.0.0.1:{relay.port}/publish/cam0") as publisher:
        publisher.send(msgpack.packb({"type": "nonsense"}))
        wait_until(lambda: told(relay, "refused"), "the line")
    (line,) = told(relay, "refused")
    assert (line["stream"], line["publisher"], line["worker"]) == ("cam0", "0.1.1", 0)
