"""The admin API: what an operator sees and does, behind a token of its own.

Any worker answers. Lists come from shared memory; what is to be done goes through the
worker's control pipe to the supervisor, who tells whom it concerns. A worker answers 202 as
soon as it has looked whether the request makes sense; what came of it is in the lists and in
the log.

The token is taken from the ``Authorization`` header alone: addresses end up in logs.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bus import Publisher
from bus.directory import list_streams
from bus.errors import BusError
from bus.layout import CAPACITY_MIN
from relay.api import viewer_json
from relay.assets import COMMON_HEADERS
from relay.auth import AdminAuthorizer
from relay.viewers import Viewer, all_viewers
from workers.ports import ADMIN_PREFIX, PageRequest, PageResponse
from workers.table import Column, WorkerState, WorkerTable
from workers.viewer_id import ViewerId

__all__ = ["VIEWERS_PATH", "AdminApi", "Ask"]

log = logging.getLogger(__name__)

VIEWERS_PATH: Final = "/api/viewers"
Ask = Callable[[Mapping[str, Any]], object]
"""Sends a message to the supervisor."""

_HEADERS: Final = {**COMMON_HEADERS, "Cache-Control": "no-store"}
_LIMIT: Final = 1000
"""Viewers in an answer unless another limit is asked for."""
_LIMIT_MAX: Final = 100_000


class AdminApi:
    """See the module."""

    def __init__(
        self, instance: str, table: WorkerTable, authorizer: AdminAuthorizer, ask: Ask
    ) -> None:
        self._instance = instance
        self._table = table
        self._authorizer = authorizer
        self._ask = ask

    def respond(self, request: PageRequest) -> PageResponse | None:
        """The answer, or None when it is not for the admin API."""
        if request.path != VIEWERS_PATH and not request.path.startswith(ADMIN_PREFIX):
            return None
        refusal = self._authorizer.refusal(request.headers.get("authorization", ""))
        if refusal is not None:
            status, words = refusal
            log.info("admin API: %s refused: %s", request.peer.address, words)
            more = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            return _json(status, {"error": words}, more)
        if request.path == VIEWERS_PATH:
            return self._viewers(request.query)
        if request.method != "POST":
            return _json(405, {"error": "use POST"}, {"Allow": "POST"})
        return self._act(request.path.removeprefix(ADMIN_PREFIX).split("/"), request.peer.address)

    def _viewers(self, query: Mapping[str, str]) -> PageResponse:
        """Those that are most behind first, and of them the oldest."""
        text = query.get("limit", str(_LIMIT))
        if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _LIMIT_MAX:
            return _json(400, {"error": f"limit must be a number from 1 to {_LIMIT_MAX}"})
        viewers = all_viewers(self._instance, self._table)
        for key, value in (("stream", query.get("stream")), ("address", query.get("address"))):
            if value is not None:
                viewers = [each for each in viewers if getattr(each.row, key) == value]
        worst = heapq.nsmallest(int(text), viewers, key=_urgency)
        return _json(200, {"total": len(viewers), "viewers": [viewer_json(each) for each in worst]})

    def _act(self, words: Sequence[str], by: str) -> PageResponse:
        match words:
            case ["viewers", name, "kick"]:
                response = self._kick(name)
            case ["streams", name, "stop"]:
                response = self._stop(name)
            case ["workers", name, "drain" | "restart" as do]:
                response = self._worker(name, do)
            case ["reload"]:
                response = self._asked({"do": "reload"})
            case _:
                response = _json(404, {"error": "there is no such action"})
        log.info("admin API: %s asked for %s: %d", by, "/".join(words)[:120], response.status)
        return response

    def _asked(self, message: Mapping[str, Any]) -> PageResponse:
        self._ask({"type": "admin", **message})
        return _json(202, {"asked": message})

    def _kick(self, name: str) -> PageResponse:
        wanted = ViewerId.parse(name)
        viewers = all_viewers(self._instance, self._table)
        if wanted is None or not any(each.id == wanted for each in viewers):
            error = f"no viewer has this id; they are listed at {VIEWERS_PATH}"
            return _json(404, {"error": error})
        place = {"slot": wanted.slot, "generation": wanted.generation}
        return self._asked({"do": "kick", **place, "viewer": wanted.number})

    def _stop(self, name: str) -> PageResponse:
        stream = next(
            (each for each in list_streams(self._instance) if each.name == name and each.live), None
        )
        if stream is None:
            return _json(404, {"error": "no live stream has this name"})
        known = stream.metadata
        if known is None or known.kind == "ws":
            return self._asked({"do": "stop", "stream": name})
        # A program of this host writes it: take the stream away from it, and end it.
        try:
            with contextlib.closing(
                Publisher(
                    name,
                    codec=known.codec,
                    width=known.width,
                    height=known.height,
                    instance=self._instance,
                    capacity=CAPACITY_MIN,
                    takeover=True,
                )
            ):
                pass
        except (BusError, OSError) as exc:
            return _json(503, {"error": f"the stream cannot be stopped now: {exc}"})
        return _json(202, {"asked": {"do": "stop", "stream": name}})

    def _worker(self, name: str, do: str) -> PageResponse:
        places = (len(self._table) - 2) // 2
        if not (name.isascii() and name.isdigit() and int(name) < places):
            return _json(404, {"error": f"workers are 0 to {places - 1}"})
        slot = int(name)
        serving = {row[Column.SLOT] for row in self._table.rows() if row.state is WorkerState.READY}
        if do == "drain" and slot not in serving:
            return _json(409, {"error": f"worker {slot} is not serving"})
        if do == "drain" and serving == {slot}:
            return _json(409, {"error": "no other worker serves; restart it instead"})
        return self._asked({"do": do, "slot": slot})


def _urgency(viewer: Viewer) -> tuple[float, float]:
    return -viewer.row.lag, viewer.row.since


def _json(
    status: int, value: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> PageResponse:
    body = json.dumps(value, separators=(",", ":")).encode()
    return PageResponse(status, "application/json", body, {**_HEADERS, **(headers or {})})
