"""The platform's way to accept from the shared listener; see `workers.accepting`.

``LINGER_RESET`` is the value of SO_LINGER with which closing a socket resets its connection.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from workers.acceptor_windows import LINGER_RESET, Acceptor
else:
    from workers.acceptor_posix import LINGER_RESET, Acceptor

__all__ = ["LINGER_RESET", "Acceptor"]
