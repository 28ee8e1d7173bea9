"""The processes of a load test, each at the end of a pipe."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

import multiprocess
from multiprocess.connection import wait

from relay.load.pipe import Pipe

__all__ = ["Children"]

_END_LIMIT: Final = 5.0


class Children:
    """See the module.

    Attributes:
        died: how many of them ended by themselves.
    """

    def __init__(self) -> None:
        self.died = 0
        self._context = multiprocess.get_context("spawn")
        self._processes: list[Any] = []
        self._alive: list[Pipe] = []

    def start(self, main: Callable[..., None], *arguments: Any) -> Pipe:
        """Run ``main(*arguments, pipe)`` in a process; our end of the pipe."""
        ours: Pipe
        ours, theirs = self._context.Pipe()
        child = self._context.Process(target=main, args=(*arguments, theirs), daemon=False)
        # It must not notice Ctrl-C while it starts either.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            child.start()
        finally:
            signal.signal(signal.SIGINT, before)
        theirs.close()
        self._processes.append(child)
        self._alive.append(ours)
        return ours

    @property
    def alive(self) -> bool:
        """Whether any of them is."""
        return bool(self._alive)

    def receive(self, patience: float) -> Iterator[tuple[Pipe, Any]]:
        """What they say within so many seconds; stops when there is something."""
        if not self._alive:
            time.sleep(patience)
        try:
            readable = wait(self._alive, patience)
        except InterruptedError:
            # On Windows, after a Ctrl-C that has been answered.
            return
        for pipe in readable:
            try:
                yield pipe, pipe.recv()
            except (EOFError, OSError):
                self._alive.remove(pipe)
                self.died += 1

    def send(self, pipe: Pipe, what: object) -> None:
        """Say something to one of them, if it lives."""
        with contextlib.suppress(OSError):
            pipe.send(what)

    def stop(self, pipes: Collection[Pipe]) -> Iterator[tuple[Pipe, Any]]:
        """End some; what they say at last."""
        for pipe in pipes:
            self.send(pipe, "stop")
        died, deadline = self.died, time.monotonic() + _END_LIMIT
        while any(pipe in self._alive for pipe in pipes) and time.monotonic() < deadline:
            yield from self.receive(max(0.0, deadline - time.monotonic()))
        self.died = died

    def end(self) -> None:
        """End all that are left."""
        for _ in self.stop(list(self._alive)):
            pass
        for child in self._processes:
            child.join(_END_LIMIT)
            if child.is_alive():
                child.kill()
                child.join()
