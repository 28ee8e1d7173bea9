"""One writer, four readers, a million frames, and SIGKILL for everybody.

Invariant: readers get whole frames of the epoch they were told, in order, each once, and
the number of the lost is exact between any two frames of one epoch. The killer strikes on
the children's own signs of life, which come in the middle of their work.
"""

from __future__ import annotations

import json
import random
import selectors
from contextlib import ExitStack

import pytest

from bus.reclaim import reclaim
from tests.bus.processes import Child
from tests.bus.torture import REPORT_EVERY

FRAMES = 1_000_000
READERS = 4
WRITER_DEATHS = 15
READER_DEATHS = 25


class Arena:
    """The children, by what they are, and the next line that any of them says."""

    def __init__(self, instance: str, stack: ExitStack) -> None:
        self._instance = instance
        self._stack = stack
        self._selector = stack.enter_context(selectors.DefaultSelector())
        self.readers: list[Child] = []
        self.writer = self.start_writer()

    def _start(self, role: str, *arguments: object) -> Child:
        child = Child(role, self._instance, *arguments, module="tests.bus.torture")
        self._stack.enter_context(child)
        assert child.line() == {"write": "writing", "read": "reading"}[role]
        self._selector.register(child.output, selectors.EVENT_READ, child)
        return child

    def start_writer(self) -> Child:
        self.writer = self._start("write", FRAMES)
        return self.writer

    def start_reader(self) -> None:
        self.readers.append(self._start("read"))

    def kill(self, child: Child) -> None:
        self._selector.unregister(child.output)
        child.kill()

    def next_line(self) -> str:
        ready, _ = self._selector.select()[0]
        child: Child = ready.data
        return child.line()


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
                victim = arena.readers.pop(chance.randrange(READERS))
                arena.kill(victim)
                arena.start_reader()
            if sign in writer_deaths:
                arena.kill(arena.writer)
                arena.start_writer()
        arena.writer.send("end it")
        arena.writer.finish()
        reports = []
        for reader in arena.readers:
            while (line := reader.line()) == "read":
                pass
            reports.append(json.loads(line))
            reader.finish()
    print(reports)
    assert len(reports) == READERS
    assert all(report["corrupt"] == 0 for report in reports)
    assert all(report["frames"] for report in reports)
    assert max(report["epochs"] for report in reports) > 1
    assert sum(report["jumps"] for report in reports) > 0
    reclaim(instance)
