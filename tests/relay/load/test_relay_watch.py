"""Asking a relay for its account, also while its workers die."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from relay.load.relay_watch import RelayWatch
from relay.load.target import parse_target

WORKER = {"slot": 0, "pid": 1, "viewers": 3, "cpu": 0.1, "rss": 1, "restarts": 0, "state": "ready"}


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
        len(body),
        body,
    )


WORKERS = _answer(json.dumps({"workers": [WORKER], "engine": "uring"}).encode())
STREAMS = _answer(b'{"streams": []}')


@contextmanager
def _relay(answers: Sequence[bytes]) -> Iterator[RelayWatch]:
    """Who gives each connection its answer and ends it, whole or not."""

    def serve() -> None:
        for answer in answers:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        target = parse_target(f"ws://127.0.0.1:{listener.getsockname()[1]}/view/cam0")
        yield RelayWatch(target, "", local=False)
        thread.join()


@pytest.mark.parametrize("of_the_dead", [b"", WORKERS[:-5]])
def test_a_worker_that_dies_while_it_answers(of_the_dead: bytes) -> None:
    """Is not the relay: another worker answers."""
    with _relay([of_the_dead, WORKERS, STREAMS]) as watch:
        state = watch.look()
    assert state.answers
    assert [row["viewers"] for row in state.workers] == [3]


@pytest.mark.parametrize("answer", [b"", _answer(b"no JSON"), _answer(b"[]")])
def test_a_relay_that_does_not_answer(answer: bytes) -> None:
    # Workers and streams; each once more where the connection ended without a word.
    with _relay([answer] * (2 if answer else 4)) as watch:
        state = watch.look()
    assert not state.answers
    assert state.workers == []
