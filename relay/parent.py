"""Ends this process when its parent dies, so that a supervisor leaves no orphans.

Linux: the kernel sends SIGTERM (``PR_SET_PDEATHSIG``), even after the parent's SIGKILL. It
watches the *thread* that started us; a supervisor therefore starts children from a thread
that lives as long as itself. Elsewhere a thread waits for the parent's end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable

__all__ = ["exit_with_parent"]

_PR_SET_PDEATHSIG = 1


def exit_with_parent(on_death: Callable[[], None]) -> None:
    """Watch the parent.

    Args:
        on_death: called when it is gone, from any thread; on Linux SIGTERM comes instead,
            unless the parent died before the watch began.
    """
    parent = os.getppid()
    if _ask_kernel():
        # The parent may have died before the kernel knew that we care. Process 1 is no sign of
        # that: in a container it may well be the supervisor.
        if os.getppid() != parent:
            on_death()
        return
    threading.Thread(target=_wait, args=(parent, on_death), name="parent", daemon=True).start()


def _ask_kernel() -> bool:
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) == 0)
    except (OSError, AttributeError, TypeError):
        # Another kernel: there is no such call, or on Windows not even a way to look for it.
        return False


def _wait(parent: int, on_death: Callable[[], None]) -> None:
    import psutil

    try:
        psutil.Process(parent).wait()
    except psutil.NoSuchProcess:
        pass
    except psutil.Error:
        return  # not allowed to look: then it cannot be watched
    on_death()
