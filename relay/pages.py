"""Plain HTTP: the pages, the JSON, the metrics, the probes, and the admin API.

Called in a worker's loop, so nothing waits and nothing is computed more often than it can
matter: a look at all streams is kept for ten times as long as it took, at most a second.
Streams that the asker may not view are not shown to it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from bus.directory import list_streams
from bus.errors import InvalidName
from bus.names import check_stream
from bus.stream import StreamInfo
from relay.admin import AdminApi, Ask
from relay.api import streams_json, workers_json
from relay.assets import COMMON_HEADERS, find_asset, load_assets
from relay.auth import NO_ADMIN, AdminAuthorizer
from relay.cluster.counters import ClusterCounters
from relay.metrics import CONTENT_TYPE, metrics_text
from workers.ports import Action, Authorizer, PageRequest, PageResponse, Peer
from workers.table import Column, WorkerState, WorkerTable

__all__ = ["RelayPages"]

_WATCH: Final = "/watch/"
_KEEP_MAX: Final = 1.0
_KEEP_FACTOR: Final = 10.0
_TEXT: Final = "text/plain; charset=utf-8"
_API_HEADERS: Final = {**COMMON_HEADERS, "Cache-Control": "no-store"}


class RelayPages:
    """The pages of one worker."""

    def __init__(
        self,
        instance: str,
        row: int,
        authorizer: Authorizer,
        clock: Callable[[], float] = time.monotonic,
        admin: AdminAuthorizer = NO_ADMIN,
        ask: Ask = lambda message: None,
    ) -> None:
        """Prepare everything that does not change.

        Args:
            instance: whose streams and workers are shown.
            row: this worker's row in the table.
            authorizer: who may view.
            clock: monotonic seconds.
            admin: who may use the admin API.
            ask: sends a message to the supervisor.

        Raises:
            BusError: when the instance's worker table cannot be read.
        """
        self._instance = instance
        self._authorizer = authorizer
        self._clock = clock
        self._table = WorkerTable.attach(instance)
        self._own = self._table.row(row)
        self._assets = load_assets()
        self._admin = AdminApi(instance, self._table, admin, ask)
        self._seen: list[StreamInfo] = []
        self._seen_until = 0.0
        self._routes: Mapping[str, Callable[[PageRequest], PageResponse]] = {
            "/api/streams": self._streams,
            "/api/workers": self._workers,
            "/metrics": self._metrics,
            "/healthz": self._health,
            "/readyz": self._readiness,
        }

    def respond(self, request: PageRequest) -> PageResponse | None:
        """The answer, or None when there is no such page."""
        route = self._routes.get(request.path)
        if route is not None:
            return route(request)
        response = self._admin.respond(request)
        if response is not None:
            return response
        response = self._file(request.path)
        return None if response is None else _if_changed(request, response)

    def _file(self, path: str) -> PageResponse | None:
        if path == "/":
            return self._assets["index.html"]
        if path.startswith(_WATCH):
            return self._watch(path.removeprefix(_WATCH))
        name = path.removeprefix("/")
        return None if name.endswith(".html") else find_asset(self._assets, name)

    def close(self) -> None:
        """Let go of the table."""
        self._table.close()

    def _watch(self, stream: str) -> PageResponse:
        try:
            check_stream(stream)
        except InvalidName as exc:
            return PageResponse(404, _TEXT, f"{exc}\n".encode(), COMMON_HEADERS)
        return self._assets["watch.html"]

    def _streams(self, request: PageRequest) -> PageResponse:
        return _json(streams_json(self._visible(request.peer)))

    def _workers(self, request: PageRequest) -> PageResponse:
        return _json(workers_json(self._table.rows()))

    def _metrics(self, request: PageRequest) -> PageResponse:
        cluster = ClusterCounters.read(self._instance)
        body = metrics_text(self._table.rows(), self._visible(request.peer), cluster)
        return PageResponse(200, CONTENT_TYPE, body, _API_HEADERS)

    def _health(self, request: PageRequest) -> PageResponse:
        return PageResponse(200, _TEXT, b"ok\n", _API_HEADERS)

    def _readiness(self, request: PageRequest) -> PageResponse:
        state = WorkerState(self._own[Column.STATE])
        ready = state is WorkerState.READY
        body = f"{state.name.lower()}\n".encode()
        return PageResponse(200 if ready else 503, _TEXT, body, _API_HEADERS)

    def _visible(self, peer: Peer) -> list[StreamInfo]:
        refusal = self._authorizer.refusal
        return [each for each in self._look() if refusal(Action.VIEW, each.name, peer) is None]

    def _look(self) -> list[StreamInfo]:
        before = self._clock()
        if before >= self._seen_until:
            self._seen = list_streams(self._instance)
            after = self._clock()
            self._seen_until = after + min(_KEEP_MAX, _KEEP_FACTOR * (after - before))
        return self._seen


def _if_changed(request: PageRequest, response: PageResponse) -> PageResponse:
    """The response, or 304 for who has this very file already (RFC 9110, section 13.1.2)."""
    tag = response.headers.get("ETag")
    known = request.headers.get("if-none-match", "").split(",")
    if tag is None or tag not in (each.strip().removeprefix("W/") for each in known):
        return response
    return PageResponse(304, response.content_type, b"", response.headers)


def _json(value: Any) -> PageResponse:
    body = json.dumps(value, separators=(",", ":")).encode()
    return PageResponse(200, "application/json", body, _API_HEADERS)
