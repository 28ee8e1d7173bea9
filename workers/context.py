"""Everything one worker is given at birth, in one object."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol

from workers.certificate import Certificate
from workers.ports import Authorizer, Pages
from workers.settings import Limits, ViewerSettings

__all__ = ["Control", "WorkerContext"]


class Control(Protocol):
    """The worker's end of its pipe to the supervisor (a `multiprocess` Connection)."""

    def fileno(self) -> int: ...
    def poll(self, timeout: float | None = ...) -> bool: ...
    def send_bytes(self, data: bytes) -> None: ...
    def recv_bytes(self) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What a worker is and whom it serves.

    Attributes:
        instance: instance name.
        row: index of its row in the worker table.
        slot: its number among the workers, for people.
        listener: the shared listening socket, non-blocking, never shut down here.
        control: pipe to the supervisor: msgpack maps; end of file means that the
            supervisor is gone and the worker leaves.
        authorizer: who may do what.
        pages: plain HTTP.
        limits: what it accepts from strangers.
        viewer: how it treats viewers.
        engine: ``auto``, ``uring`` or ``asyncio``.
        certificate: for TLS; None: connections are plain.
    """

    instance: str
    row: int
    slot: int
    listener: socket.socket
    control: Control
    authorizer: Authorizer
    pages: Pages
    limits: Limits
    viewer: ViewerSettings
    engine: str = "auto"
    certificate: Certificate | None = None
