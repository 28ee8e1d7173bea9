"""Accepting from the shared listener on POSIX: every worker polls it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from workers.accepting import BaseAcceptor

__all__ = ["Acceptor"]

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor(BaseAcceptor):
    """Polls the listener while the gate and the rate limit allow it."""

    def _arm(self) -> None:
        self._armed = True
        self._loop.add_reader(self._listener.fileno(), self._ready)

    def _disarm(self) -> None:
        if self._armed:
            self._armed = False
            self._loop.remove_reader(self._listener.fileno())

    def _retire(self, retired: Callable[[], object]) -> None:
        self._disarm()
        retired()

    def _shortage(self, error: OSError) -> str | None:
        return "raise the limit (ulimit -n)" if error.errno in _EXHAUSTED else None

    def _ready(self) -> None:
        if not self._gate.is_open():
            self._disarm()
            return
        try:
            connection, address = self._listener.accept()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._fail(exc)
            if self._exhausted:
                self._disarm()
            return
        self._take(connection, address[0])
        if self._left <= 0 or not self._gate.is_open():
            self._disarm()
