"""Memory fences for processes that share memory.

CPython gives no memory model. What it does give is `threading.Lock`, whose acquire and
release are an atomic read-modify-write and a store-release in libc or in the kernel:

* x86-64 (TSO): loads stay ordered with loads and stores with stores; only a store may
  be delayed past a later load. One locked instruction, which an acquire contains, drains
  the store buffer, so one acquire/release pair is a full fence.
* ARM64: the acquire keeps later accesses behind it, the release keeps earlier accesses
  before it, and a release is never reordered with a later acquire. Two pairs in a row
  therefore order everything before the first release against everything after the
  second acquire: a full fence.

On both, the pairs cost well under a microsecond. The ring adds a CRC to every record, so
an assumption that fails on some machine costs a frame and is counted, never a picture.
"""

from __future__ import annotations

import platform
import threading

__all__ = ["full_fence"]

_new_lock = threading.Lock


def _one_pair() -> None:
    # A lock of its own for every call: nothing is shared, so no thread and no signal
    # handler can meet it taken. Dropping a taken lock releases it.
    _new_lock().acquire()


def _two_pairs() -> None:
    _new_lock().acquire()
    _new_lock().acquire()


full_fence = _one_pair if platform.machine() in ("x86_64", "AMD64") else _two_pairs
"""Order every load and store before the call against every one after it."""
