"""A guest that sees and does what only a process of the relay's own system can; for all tests."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any, Final

from tests.windows.pythons import Guest, WindowsPython

__all__ = ["Witness", "witness"]

_PATIENCE: Final = 3600.0
"""Seconds; it lives as long as the tests do."""


class Witness:
    """Asked about relays by any thread."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._turn = threading.Lock()

    def ask(self, what: str, instance: str, *arguments: object) -> Any:
        """What `tests.windows.guests.watching` answers."""
        with self._turn:
            self._guest.send(json.dumps([what, instance, *arguments]))
            return json.loads(self._guest.line())


@contextlib.contextmanager
def witness(windows: WindowsPython) -> Iterator[Witness]:
    """One in a process of its own."""
    target = "tests.windows.guests.watching:watch"
    with windows.start(target, patience=_PATIENCE) as guest:
        yield Witness(guest)
        guest.finish()
