"""One io_uring as two arrays: entries go in, completions come out.

The ring belongs to the thread that made it (SINGLE_ISSUER), and the kernel posts completions
only while that thread is within `submit` or `flush` (DEFER_TASKRUN). So both queues are
touched by one thread alone, and plain loads and stores in program order are enough: no fence
is needed on any processor, and nothing changes between two lines of Python.

An eventfd tells of completions, and of deferred work that `flush` turns into some. (The ring's
own descriptor is no help: epoll sees it become readable only by chance, because deferred work
wakes nobody who polls it.) What entries refer to is the caller's concern.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
from collections.abc import Callable
from typing import Final

import numpy as np

from workers.engines.uring import abi

__all__ = ["Completion", "Ring"]

Completion = tuple[int, int, int]
"""``user_data``, ``res`` and ``flags``, as `abi.CQE` gives them."""

_NO_ROOM: Final = (errno.EAGAIN, errno.EBUSY, errno.EINTR)
_ONE: Final = (1).to_bytes(8, sys.byteorder)


class Ring:
    """See the module."""

    def __init__(self, entries: int, completions: int) -> None:
        """Make a ring in this thread.

        Args:
            entries: how many are handed over in one system call, a power of two.
            completions: how many may wait to be seen, a power of two; more than that the
                kernel keeps in a list of its own.

        Raises:
            OSError: when the kernel does not allow it, or is too old.
        """
        params = abi.Params(flags=abi.SETUP_FLAGS, cq_entries=completions)
        self._fd = abi.setup(entries, params)
        self._event = -1
        try:
            self._event = abi.make_event()
            abi.register_eventfd(self._fd, self._event)
            self._map(params)
            self._probe()
        except BaseException:
            self.close()
            raise

    def _map(self, params: abi.Params) -> None:
        sq, cq = params.sq_off, params.cq_off
        size = max(sq.array + 4 * params.sq_entries, cq.cqes + abi.CQE.size * params.cq_entries)
        queues = mmap.mmap(self._fd, size)
        entries = mmap.mmap(self._fd, abi.SQE.itemsize * params.sq_entries, offset=abi.OFF_SQES)
        # Entries are used in their order; the kernel's level of indirection stays as it is.
        np.frombuffer(queues, "u4", params.sq_entries, sq.array)[:] = range(params.sq_entries)
        words = memoryview(queues).cast("I")
        self._words = words
        self._sq_head, self._sq_tail, self._sq_flags = sq.head // 4, sq.tail // 4, sq.flags // 4
        self._cq_head, self._cq_tail, self._cq_flags = cq.head // 4, cq.tail // 4, cq.flags // 4
        self._sq_mask, self._cq_mask = params.sq_entries - 1, params.cq_entries - 1
        self._sqes = memoryview(entries)
        self._cqes = memoryview(queues)[cq.cqes : cq.cqes + abi.CQE.size * params.cq_entries]

    def _probe(self) -> None:
        """There and back once: a filter may allow the ring and forbid its use."""
        entry = np.zeros(1, abi.SQE)
        entry["opcode"], entry["user_data"] = abi.NOP, 1
        if self.submit(memoryview(entry.tobytes())) != 1 or self.completions() != [(1, 0, 0)]:
            raise OSError(errno.EOPNOTSUPP, "the ring does not answer")

    def fileno(self) -> int:
        """The eventfd: readable when `flush` may have something for `completions`."""
        return self._event

    def submit(
        self,
        entries: memoryview,
        *,
        at_once: int = 1 << 15,
        between: Callable[[], None] | None = None,
        wake: bool = True,
    ) -> int:
        """Hand entries to the kernel, which copies them.

        Args:
            entries: what is to be done, the bytes of `abi.SQE` entries.
            at_once: how many in one system call, at most.
            between: is called between two of those calls.
            wake: tell through the eventfd of what completes at once; no need for who takes
                the completions right after.

        Returns:
            How many it took, from the first on; less than all only when it is out of memory.
        """
        words, capacity = self._words, self._sq_mask + 1
        total = len(entries) // abi.SQE.itemsize
        taken = 0
        while taken < total:
            if taken and between is not None:
                between()
            tail = words[self._sq_tail]
            count = min(total - taken, at_once, capacity)
            self._write(tail & self._sq_mask, entries, taken, count)
            words[self._sq_tail] = (tail + count) & 0xFFFF_FFFF
            words[self._cq_flags] = 0 if wake else abi.EVENTFD_DISABLED
            try:
                accepted = abi.enter(self._fd, count, 0, 0)
            except OSError as exc:
                if exc.errno not in _NO_ROOM:
                    raise
                accepted = 0
            taken += accepted
            if accepted < count:
                # What is left must not be sent by a later call, when its bytes may be gone.
                words[self._sq_tail] = words[self._sq_head]
                break
        if not wake:
            words[self._cq_flags] = 0
            self._wake_for_deferred()
        return taken

    def _write(self, place: int, entries: memoryview, start: int, count: int) -> None:
        """Copy entries into the queue, which goes on at its beginning."""
        size, queue = abi.SQE.itemsize, self._sqes
        at, begin, end = place * size, start * size, (start + count) * size
        room = len(queue) - at
        if end - begin <= room:
            queue[at : at + end - begin] = entries[begin:end]
        else:
            queue[at:] = entries[begin : begin + room]
            queue[: end - begin - room] = entries[begin + room : end]

    def _wake_for_deferred(self) -> None:
        """See that deferred work which nobody was told of is not forgotten."""
        if self._words[self._sq_flags] & abi.TASKRUN:
            os.write(self._event, _ONE)

    def flush(self, wait: int = 0) -> None:
        """Let the kernel post what has completed by now.

        Args:
            wait: return only when so many completions are there.
        """
        with contextlib.suppress(BlockingIOError):
            os.read(self._event, 8)
        try:
            abi.enter(self._fd, 0, wait, abi.GETEVENTS)
        except OSError as exc:
            if exc.errno not in _NO_ROOM:
                raise
        # One call does a limited amount of deferred work.
        self._wake_for_deferred()

    def completions(self) -> list[Completion]:
        """Take all completions that are there."""
        taken = self._take()
        while self._words[self._sq_flags] & abi.CQ_OVERFLOW:
            self.flush()
            taken += self._take()
        return taken

    def _take(self) -> list[Completion]:
        words, size = self._words, abi.CQE.size
        head, tail = words[self._cq_head], words[self._cq_tail]
        if head == tail:
            return []
        at, length = (head & self._cq_mask) * size, (tail - head & 0xFFFF_FFFF) * size
        found = bytes(self._cqes[at : at + length])
        found += self._cqes[: length - len(found)]
        words[self._cq_head] = tail
        return list(abi.CQE.iter_unpack(found))

    def close(self) -> None:
        """Give the ring back; nothing is in flight."""
        # The mappings hold the ring, too, and go with the last of their views.
        self.__dict__.pop("_words", None)
        self.__dict__.pop("_sqes", None)
        self.__dict__.pop("_cqes", None)
        os.close(self._fd)
        if self._event >= 0:
            os.close(self._event)
