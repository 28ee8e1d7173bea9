"""The admin API of a real relay: whichever worker is asked, the right one acts."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgpack
import pytest
from websockets.sync.client import ClientConnection, connect

from bus import Publisher, TakenOver
from tests.e2e.conftest import StartRelay
from tests.e2e.library_client import close_of, is_open, message
from tests.e2e.relay import Relay
from tests.e2e.waiting import wait_until
from workers.table import Column

TOKEN = "admin-secret-7f3a"
BEARER = f"Bearer {TOKEN}"


@pytest.fixture
def relay(start_relay: StartRelay, tmp_path: Path) -> Relay:
    file = tmp_path / "admin.token"
    file.write_text(f"# ours\n{TOKEN}\n")
    return start_relay("--admin-token-file", str(file), "--log-format", "json", workers=3)


def ask(
    relay: Relay, method: str, path: str, authorization: str = BEARER
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(*relay.address, timeout=60)
    try:
        connection.request(method, path, headers={"Authorization": authorization})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def viewers(relay: Relay, query: str = "") -> list[dict[str, Any]]:
    status, body = ask(relay, "GET", f"/api/viewers{query}")
    assert status == 200
    found: list[dict[str, Any]] = body["viewers"]
    return found


@pytest.fixture
def crowd(relay: Relay) -> Iterator[list[ClientConnection]]:
    """Nine viewers of two streams, spread over the workers."""
    with ExitStack() as stack:
        clients = []
        for number in range(9):
            url = f"ws://127.0.0.1:{relay.port}/view/cam{number % 2}"
            client = stack.enter_context(connect(url, compression=None))
            client.recv()
            clients.append(client)
        yield clients


def test_only_with_the_token(relay: Relay) -> None:
    for path, method in (("/api/viewers", "GET"), ("/api/admin/reload", "POST")):
        for wrong in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
            status, body = ask(relay, method, path, wrong)
            assert status == 401 and TOKEN not in str(body), wrong
        # Not from the address, which ends up in logs.
        assert ask(relay, method, f"{path}?token={TOKEN}", "")[0] == 401
    assert ask(relay, "GET", "/api/admin/reload")[0] == 405
    assert ask(relay, "POST", "/api/admin/nothing")[0] == 404
    assert TOKEN not in relay.log()
    assert not relay.log_lines("replacing all workers")


def test_without_a_token_there_is_no_admin(start_relay: StartRelay) -> None:
    relay = start_relay(workers=1)
    for path, method in (("/api/viewers", "GET"), ("/api/admin/reload", "POST")):
        status, body = ask(relay, method, path, "Bearer ")
        assert status == 403 and "--admin-token-file" in body["error"]


def test_viewers_of_all_workers_are_listed(relay: Relay, crowd: list[ClientConnection]) -> None:
    listed = viewers(relay)
    assert len({each["id"] for each in listed}) == len(crowd)
    assert {each["worker"] for each in listed} == {0, 1, 2}
    assert {each["address"] for each in listed} == {"127.0.0.1"}
    assert all(
        each["skipped"].keys() == {"network", "decoder", "hidden", "worker"} for each in listed
    )
    assert len(viewers(relay, "?stream=cam1")) == 4
    assert len(viewers(relay, "?limit=2")) == 2
    assert ask(relay, "GET", "/api/viewers?limit=-1")[0] == 400
    crowd.pop().close()
    wait_until(lambda: len(viewers(relay)) == len(crowd), "one less")


def test_a_viewer_is_kicked_wherever_it_is(relay: Relay, crowd: list[ClientConnection]) -> None:
    """By its id, which the log has as well; nobody else is touched."""
    ports = {client.socket.getsockname()[1]: client for client in crowd}
    assert len(ports) == len(crowd)
    victims = {each["worker"]: each["id"] for each in viewers(relay)}
    for victim in victims.values():
        assert ask(relay, "POST", f"/api/admin/viewers/{victim}/kick")[0] == 202
    wait_until(lambda: len(viewers(relay)) == len(crowd) - len(victims), "their end")
    left = {each["id"] for each in viewers(relay)}
    assert left.isdisjoint(victims.values())
    ended = [client for client in crowd if not is_open(client)]
    assert len(ended) == len(victims)
    assert {close_of(client) for client in ended} == {(1008, "closed by the operator")}
    for gone in (*victims.values(), "9.9.9", "nonsense", "1.1.1.1"):
        assert ask(relay, "POST", f"/api/admin/viewers/{gone}/kick")[0] == 404
    logged = [json.loads(line) for line in relay.log_lines('"viewer"')]
    assert {each["viewer"] for each in logged} >= set(victims.values())
    assert all(each["stream"] in ("cam0", "cam1") for each in logged)


def is_live(relay: Relay, stream: str) -> bool:
    return bool(relay.streams().get(stream, {}).get("live"))


def test_a_remote_publisher_is_stopped(relay: Relay) -> None:
    with connect(f"ws://127.0.0.1:{relay.port}/publish/cam0") as publisher:
        hello = {"type": "hello", "codec": "mjpeg", "width": 0, "height": 0, "fps": 0, "init": b""}
        publisher.send(msgpack.packb(hello))
        wait_until(lambda: is_live(relay, "cam0"), "the stream")
        assert ask(relay, "POST", "/api/admin/streams/cam0/stop")[0] == 202
        assert close_of(publisher) == (1008, "closed by the operator")
    wait_until(lambda: not is_live(relay, "cam0"), "its end")
    assert ask(relay, "POST", "/api/admin/streams/cam0/stop")[0] == 404


def test_a_program_of_this_host_is_stopped(relay: Relay, crowd: list[ClientConnection]) -> None:
    with Publisher("cam0", codec="mjpeg", instance=relay.instance) as publisher:
        publisher.write(b"picture")
        message(crowd[0], "hello")
        assert ask(relay, "POST", "/api/admin/streams/cam0/stop")[0] == 202
        with pytest.raises(TakenOver):
            publisher.write(b"picture")
    assert not is_live(relay, "cam0")
    message(crowd[0], "ended")
    # The name is free again.
    with Publisher("cam0", codec="mjpeg", instance=relay.instance):
        pass


def generations(relay: Relay) -> dict[int, int]:
    return {row[Column.SLOT]: row[Column.GENERATION] for row in relay.ready_rows()}


def test_a_worker_is_restarted(relay: Relay, crowd: list[ClientConnection]) -> None:
    assert ask(relay, "POST", "/api/admin/workers/1/restart")[0] == 202
    wait_until(lambda: generations(relay) == {0: 1, 1: 2, 2: 1}, "a new worker 1")
    wait_until(lambda: relay.log_lines("worker 1 ", "drained and left"), "the end of the old one")
    ended = [client for client in crowd if not is_open(client)]
    assert len(ended) == 3 and {close_of(client)[0] for client in ended} == {1012}
    assert ask(relay, "POST", "/api/admin/workers/3/restart")[0] == 404


def test_a_worker_is_drained_until_it_is_wanted_again(relay: Relay) -> None:
    def states() -> set[int]:
        return {row[Column.SLOT] for row in relay.rows()}

    assert ask(relay, "POST", "/api/admin/workers/0/drain")[0] == 202
    wait_until(lambda: states() == {1, 2}, "worker 0 to leave")
    assert ask(relay, "POST", "/api/admin/workers/0/drain")[0] == 409
    assert ask(relay, "POST", "/api/admin/workers/1/drain")[0] == 202
    wait_until(lambda: states() == {2}, "worker 1 to leave")
    status, body = ask(relay, "POST", "/api/admin/workers/2/drain")
    assert status == 409 and "no other worker" in body["error"]
    assert ask(relay, "POST", "/api/admin/workers/0/restart")[0] == 202
    wait_until(lambda: generations(relay) == {0: 2, 2: 1}, "worker 0")
    # A reload fills every place.
    assert ask(relay, "POST", "/api/admin/reload")[0] == 202
    wait_until(lambda: generations(relay) == {0: 3, 1: 2, 2: 2}, "all")
    assert relay.stop() == 0
    assert not relay.errors()
