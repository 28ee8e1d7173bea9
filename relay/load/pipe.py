"""What a process of viewers and the one that started it use of the pipe between them."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Pipe"]


class Pipe(Protocol):
    """One end; its class differs between systems."""

    def poll(self, timeout: float | None = ...) -> bool: ...
    def send(self, message: Any) -> None: ...
    def recv(self) -> Any: ...
    def close(self) -> None: ...
