"""Doorbells: how a writer wakes readers that sleep, without ever waiting for one.

Contract:

* A reader owns one `Doorbell` for all the segments it reads. It is pending from a ring until
  `drain`, which says which tokens were rung; rings coalesce. `wait` blocks until it is
  pending, `attach` lets an event loop call back whenever it is. Either may also happen for
  no reason: whoever was woken looks for himself.
* A writer owns one `Ringer`. Ringing is one non-blocking system call. A bell whose owner
  died or hangs costs the same and blocks nobody.
* A bell is named by a random 64-bit id, so a new process never hears an old one's bell.
* A token is a number below `bus.layout.TOKENS`, chosen by the reader.

`doorbell_fifo.py` implements both for POSIX, `doorbell_event.py` for Windows.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol

if sys.platform == "win32":
    from bus.doorbell_event import EventDoorbell as _Doorbell
    from bus.doorbell_event import EventRinger as _Ringer
    from bus.doorbell_event import remove_event as _remove
else:
    from bus.doorbell_fifo import FifoDoorbell as _Doorbell
    from bus.doorbell_fifo import FifoRinger as _Ringer
    from bus.doorbell_fifo import remove_fifo as _remove

__all__ = ["Doorbell", "Ringer", "open_doorbell", "open_ringer", "remove_doorbell"]


class Doorbell(Protocol):
    """A reader's end."""

    id: int

    def drain(self) -> set[int]: ...
    def wait(self, timeout: float | None) -> bool: ...
    def attach(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None: ...
    def detach(self) -> None: ...
    def close(self) -> None: ...


class Ringer(Protocol):
    """A writer's end, for any number of bells of one instance."""

    def ring(self, bell: int, token: int) -> bool: ...
    def close(self) -> None: ...


def open_doorbell(instance: str) -> Doorbell:
    """Make this reader's doorbell."""
    return _Doorbell(instance)


def remove_doorbell(instance: str, bell: int) -> None:
    """Remove what is left of the doorbell of a reader that died without `close`."""
    _remove(instance, bell)


def open_ringer(instance: str) -> Ringer:
    """Make this writer's ringer."""
    return _Ringer(instance)
