"""The child's side of `tests.e2e.publishers`: publishes until its standard input ends.

It prints one JSON object per line, with the monotonic time ``at``: ``live`` (with the epoch
and the publisher's mark), ``lost`` (the connection ended; it connects again), ``refused`` (it
gives up), ``done``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from bus import BusError, Publisher, TakenOver
from tests.e2e.payload import PayloadMaker
from tests.e2e.remote_publisher import CODEC, NotTaken, RemotePublisher

_RETRY: Final = 0.2
_POLICY: Final = 1008

stopped = threading.Event()


def main() -> int:
    """Publish as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("shm", "ws"))
    parser.add_argument("--stream", required=True)
    parser.add_argument("--instance")
    parser.add_argument("--url")
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--key-every", type=int, default=25)
    parser.add_argument("--frames", type=int, default=0)
    parser.add_argument("--serves-keys", action="store_true")
    parser.add_argument("--takeover", action="store_true")
    options = parser.parse_args()
    threading.Thread(target=_watch_input, daemon=True).start()
    code = _publish_shm(options) if options.kind == "shm" else _publish_ws(options)
    say("done")
    return code


def say(event: str, **fields: Any) -> None:
    """Tell the parent."""
    print(json.dumps({"event": event, "at": time.monotonic(), **fields}), flush=True)


def _watch_input() -> None:
    sys.stdin.read()
    stopped.set()


def _ticks(options: argparse.Namespace) -> Iterator[int]:
    """Frame numbers, each at its time; a late one does not delay those after it."""
    start = time.monotonic()
    seq = 0
    while not options.frames or seq < options.frames:
        if stopped.wait(max(0.0, start + seq / options.fps - time.monotonic())):
            return
        yield seq
        seq += 1


def _publish_shm(options: argparse.Namespace) -> int:
    mark = os.urandom(8)
    maker = PayloadMaker(mark, options.size, options.key_every)
    try:
        publisher = Publisher(
            options.stream,
            codec=CODEC,
            width=640,
            height=360,
            instance=options.instance,
            takeover=options.takeover,
        )
    except BusError as exc:
        say("refused", reason=str(exc))
        return 1
    with publisher:
        say("live", epoch=publisher.epoch, mark=mark.hex())
        for seq in _ticks(options):
            wanted = options.serves_keys and publisher.key_requested
            key = maker.is_key(seq) or wanted
            try:
                publisher.write(maker.make(seq, key=key), key=key)
            except TakenOver as exc:
                say("refused", reason=str(exc))
                return 1
    return 0


def _publish_ws(options: argparse.Namespace) -> int:
    address = f"{options.url}/publish/{options.stream}" + "?takeover=1" * options.takeover
    while not stopped.is_set():
        try:
            with connect(address, compression=None) as socket:
                _send_stream(options, socket)
                return 0
        except ConnectionClosed as exc:
            code = exc.rcvd.code if exc.rcvd else 1006
            reason = exc.rcvd.reason if exc.rcvd else str(exc)
            if code == _POLICY and "being published" not in reason:
                say("refused", code=code, reason=reason)
                return 1
            say("lost", code=code, reason=reason)
        except (OSError, WebSocketException) as exc:
            say("lost", code=0, reason=f"{type(exc).__name__}: {exc}")
        stopped.wait(random.random() * _RETRY)
    return 0


def _send_stream(options: argparse.Namespace, socket: ClientConnection) -> None:
    mark = os.urandom(8)
    maker = PayloadMaker(mark, options.size, options.key_every)
    try:
        publisher = RemotePublisher(socket)
    except NotTaken as exc:
        say("refused", reason=str(exc))
        return
    say("live", epoch=publisher.epoch, mark=mark.hex())
    for seq in _ticks(options):
        wanted = publisher.hear() and options.serves_keys
        key = maker.is_key(seq) or wanted
        publisher.write(maker.make(seq, key=key), key=key)


if __name__ == "__main__":
    sys.exit(main())
