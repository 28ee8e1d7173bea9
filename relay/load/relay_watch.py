"""Asks the relay for its own account once a second, in a thread: a relay that stands still
must not keep the load test from looking at its viewers.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, Final

from relay.load.host import RelayProcesses
from relay.load.samples import RelayState
from relay.load.target import Target

__all__ = ["RelayWatch"]

_LOOK: Final = 1.0
_ASK_LIMIT: Final = 2.0
_WORKER_FIELDS: Final = {"slot", "pid", "viewers", "cpu", "rss", "restarts", "state"}
_STREAM_FIELDS: Final = {"name", "live", "epoch", "frames", "codec", "fps", "bitrate"}


class RelayWatch:
    """See the module.

    Args:
        target: of the relay.
        token: sent with each question; empty: none.
        local: whether its processes may be measured here.

    Attributes:
        state: replaced, never changed.
    """

    def __init__(self, target: Target, token: str, *, local: bool) -> None:
        self.state = RelayState()
        self._target = target
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._measure: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
        self._measure = RelayProcesses().measure if local else list
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a question that is under way is not waited for."""
        self._stop.set()

    def look(self) -> RelayState:
        """Ask now."""
        workers, engine = self._ask("workers", _WORKER_FIELDS)
        streams, _ = self._ask("streams", _STREAM_FIELDS)
        self.state = RelayState(bool(workers), engine, self._measure(workers), streams)
        return self.state

    def _run(self) -> None:
        while not self._stop.wait(_LOOK):
            self.look()

    def _ask(self, name: str, needed: set[str]) -> tuple[list[dict[str, Any]], str]:
        request = urllib.request.Request(self._target.api_url(name), headers=self._headers)
        try:
            body = _fetch(request)
            rows: list[dict[str, Any]] = body[name]
            return [row for row in rows if needed <= row.keys()], str(body.get("engine", ""))
        except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
            return [], ""


def _fetch(request: urllib.request.Request) -> Any:
    try:
        return _fetch_once(request)
    except (ConnectionError, HTTPException):
        # The worker that was asked died of something else; the next one answers.
        return _fetch_once(request)


def _fetch_once(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=_ASK_LIMIT) as answer:
        return json.load(answer)
