"""The platform's way to accept from the shared listener; see `workers.accepting`."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from workers.acceptor_windows import Acceptor
else:
    from workers.acceptor_posix import Acceptor

__all__ = ["Acceptor"]
