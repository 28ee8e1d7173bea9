"""What a connection is given, and what it gives: the interfaces around `workers.connection`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from websockets.http11 import Response

from workers.engines.interface import Channel, Engine
from workers.request import HttpRequest
from workers.settings import Limits, ViewerSettings
from workers.table import WorkerRow

if TYPE_CHECKING:
    from workers.connection import Connection

__all__ = ["Router", "Services", "Session"]


class Session(Protocol):
    """What a WebSocket connection does once it is open.

    What it is handed first, the response to the handshake, is for it to send: whatever it
    has to say itself can go out in the same call.
    """

    def opened(self, channel: Channel, head: bytes) -> None: ...
    def message(self, data: bytes) -> None: ...
    def channel_idle(self) -> None: ...
    def channel_behind(self) -> None: ...
    def closed(self) -> None: ...


class Router(Protocol):
    """Decides what a request gets."""

    def route(self, connection: Connection, request: HttpRequest) -> Response | Session: ...


class Services:
    """What all connections of a worker share."""

    __slots__ = ("closed", "engine", "limits", "router", "row", "settings", "watch")

    def __init__(
        self,
        *,
        engine: Engine,
        limits: Limits,
        settings: ViewerSettings,
        row: WorkerRow,
        router: Router,
        watch: Callable[[Connection, float], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self.engine = engine
        self.limits = limits
        self.settings = settings
        self.row = row
        self.router = router
        self.watch = watch
        self.closed = closed
