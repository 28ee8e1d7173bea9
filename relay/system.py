"""What the relay's processes ask of the operating system, by one interface.

`system_posix.py` and `system_windows.py` have the same names, and nobody else in this package
asks which system it is.

========================== ================================================================
``WAIT_LIMIT``             how many things `multiprocess.connection.wait` can wait for
``STOP_SIGNALS``           signals that end the supervisor
``RELOAD_SIGNAL``          the one that makes it replace its workers; None: there is none
``SIGKILL``                number of the signal that stands for being killed
``hold_back_signals``      processes started meanwhile get none before they are ready for it
``own_signals``            what they mean to a worker
``caught_signals``         while entered, writes each signal's number into a socket
``at_session_end``         while entered, calls back when the user's session ends
``ReloadRequests``         other requests to reload than by signal, for the supervisor
``request_reload``         makes one, from any process of the same user
``tie_children``           no child outlives this process, where the system promises that
``Program``                a child that is no Python function, in a group of its own
``raise_descriptor_limit`` lets this process open as many files as its user may
``claim_address``          options for a listening socket, so that nobody else gets its port
``hand_over``              what to pass to a worker so that it gets the listening socket
========================== ================================================================
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from relay.system_windows import (
        RELOAD_SIGNAL,
        SIGKILL,
        STOP_SIGNALS,
        WAIT_LIMIT,
        Program,
        ReloadRequests,
        at_session_end,
        caught_signals,
        claim_address,
        hand_over,
        hold_back_signals,
        own_signals,
        raise_descriptor_limit,
        request_reload,
        tie_children,
    )
else:
    from relay.system_posix import (
        RELOAD_SIGNAL,
        SIGKILL,
        STOP_SIGNALS,
        WAIT_LIMIT,
        Program,
        ReloadRequests,
        at_session_end,
        caught_signals,
        claim_address,
        hand_over,
        hold_back_signals,
        own_signals,
        raise_descriptor_limit,
        request_reload,
        tie_children,
    )

__all__ = [
    "RELOAD_SIGNAL",
    "SIGKILL",
    "STOP_SIGNALS",
    "WAIT_LIMIT",
    "Program",
    "ReloadRequests",
    "at_session_end",
    "caught_signals",
    "claim_address",
    "hand_over",
    "hold_back_signals",
    "own_signals",
    "raise_descriptor_limit",
    "request_reload",
    "tie_children",
]
