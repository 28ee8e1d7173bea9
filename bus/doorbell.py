"""Doorbells: how a writer wakes readers that sleep, without ever waiting for one.

Contract:

* A reader owns one `Doorbell` for all the segments it reads. It becomes readable
  (`fileno`) when rung, coalesces, and says which tokens were rung.
* A writer owns one `Ringer`. Ringing is one non-blocking system call. A bell whose owner
  died or hangs costs the same and blocks nobody.
* A bell is named by a random 64-bit id, so a new process never hears an old one's bell.

`doorbell_fifo.py` implements both for POSIX; another platform adds its file beside it.
"""

from __future__ import annotations

from typing import Protocol

from bus.doorbell_fifo import FifoDoorbell, FifoRinger, remove_fifo

__all__ = ["Doorbell", "Ringer", "open_doorbell", "open_ringer", "remove_doorbell"]


class Doorbell(Protocol):
    """A reader's end."""

    id: int

    def fileno(self) -> int: ...
    def drain(self) -> set[int]: ...
    def wait(self, timeout: float | None) -> bool: ...
    def close(self) -> None: ...


class Ringer(Protocol):
    """A writer's end, for any number of bells of one instance."""

    def ring(self, bell: int, token: int) -> bool: ...
    def close(self) -> None: ...


def open_doorbell(instance: str) -> Doorbell:
    """Make this reader's doorbell."""
    return FifoDoorbell(instance)


def remove_doorbell(instance: str, bell: int) -> None:
    """Remove what is left of the doorbell of a reader that died without `close`."""
    remove_fifo(instance, bell)


def open_ringer(instance: str) -> Ringer:
    """Make this writer's ringer."""
    return FifoRinger(instance)
