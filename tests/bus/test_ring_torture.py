"""One writer, four readers, very many frames, and SIGKILL for everybody.

Invariant: readers get whole frames of the epoch they were told, in order, each once, and
the number of the lost is exact between any two frames of one epoch. The killer strikes on
the children's own signs of life, which come in the middle of their work.
"""

from __future__ import annotations

import json
import queue
import random
import threading
from contextlib import ExitStack

import pytest

from bus.reclaim import reclaim
from tests.bus.processes import Child
from tests.bus.torture import FRAMES, REPORT_EVERY

READERS = 4
WRITER_DEATHS = 15
READER_DEATHS = 25


class Arena:
    """The children, by what they are, and the next line that any of them says.

    A thread listens to each: there are systems where pipes cannot be selected on.
    """

    def __init__(self, instance: str, stack: ExitStack) -> None:
        self._instance = instance
        self._stack = stack
        self._lines: queue.SimpleQueue[tuple[Child, str | None]] = queue.SimpleQueue()
        self._alive: set[Child] = set()
        self.readers: list[Child] = []
        self.writer = self.start_writer()

    def _start(self, role: str, *arguments: object) -> Child:
        child = Child(role, self._instance, *arguments, module="tests.bus.torture")
        self._stack.enter_context(child)
        assert child.line() == {"write": "writing", "read": "reading"}[role]
        self._alive.add(child)
        listener = threading.Thread(target=self._listen, args=(child,))
        listener.start()
        self._stack.callback(listener.join)
        self._stack.callback(child.kill)
        return child

    def _listen(self, child: Child) -> None:
        for line in child.lines():
            self._lines.put((child, line))
        self._lines.put((child, None))

    def start_writer(self) -> Child:
        self.writer = self._start("write", FRAMES)
        return self.writer

    def start_reader(self) -> None:
        self.readers.append(self._start("read"))

    def kill(self, child: Child) -> None:
        self._alive.remove(child)
        child.kill()

    def next_line(self) -> str | None:
        """What anyone alive says next; None when nobody is left."""
        while self._alive:
            child, line = self._lines.get()
            if child not in self._alive:
                continue
            if line is not None:
                return line
            self._alive.remove(child)
            child.finish()
        return None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_torture(instance: str) -> None:
    chance = random.Random(instance)
    with ExitStack() as stack:
        arena = Arena(instance, stack)
        for _ in range(READERS):
            arena.start_reader()
        # Not in the last part: the survivors shall have something to report.
        signs = FRAMES // REPORT_EVERY * 4 // 5
        writer_deaths = set(chance.sample(range(5, signs), WRITER_DEATHS))
        reader_deaths = set(chance.sample(range(5, signs), READER_DEATHS))
        sign = 0
        while (line := arena.next_line()) != "done":
            if line != "wrote":
                continue
            sign += 1
            if sign in reader_deaths:
                # The oldest stays, to see one writer after another.
                victim = arena.readers.pop(chance.randrange(1, READERS))
                arena.kill(victim)
                arena.start_reader()
            if sign in writer_deaths:
                arena.kill(arena.writer)
                arena.start_writer()
        arena.writer.send("end it")
        reports = []
        while (line := arena.next_line()) is not None:
            if line.startswith("{"):
                reports.append(json.loads(line))
    print(reports)
    assert len(reports) == READERS
    assert all(report["corrupt"] == 0 for report in reports)
    assert all(report["frames"] for report in reports)
    assert max(report["epochs"] for report in reports) > 1
    assert sum(report["jumps"] for report in reports) > 0
    reclaim(instance)
