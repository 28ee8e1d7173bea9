"""What systemd offers a service: an inherited socket, notifications, a watchdog.

All of it is by environment variables, so there is nothing to depend on; see sd_notify(3)
and sd_listen_fds(3). Without these variables everything here does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping
from typing import Final

from relay.errors import ListenError

__all__ = ["Notifier", "inherited_listener"]

_FIRST_FD: Final = 3


def inherited_listener(env: MutableMapping[str, str]) -> socket.socket | None:
    """The listening socket that systemd opened for us, or None.

    Removes the variables, since children have no claim on them.

    Raises:
        ListenError: when the unit passes something else than one stream socket.
    """
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    pid, count, _ = (env.pop(name, "") for name in names)
    if pid != str(os.getpid()) or count in ("", "0"):
        return None
    if count != "1":
        raise ListenError(f"systemd passed {count} sockets; use one ListenStream= line")
    try:
        listener = socket.socket(fileno=_FIRST_FD)
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as exc:
        raise ListenError(f"the socket passed by systemd cannot be used: {exc.strerror}") from None
    if listener.type != socket.SOCK_STREAM or not listening:
        raise ListenError("systemd passed something else than a listening TCP socket")
    listener.set_inheritable(False)
    listener.setblocking(False)
    return listener


class Notifier:
    """Tells systemd how the service is. Errors are of no interest to the service.

    Attributes:
        watchdog: seconds within which `alive` must be called again; None: no watchdog.
    """

    def __init__(self, env: MutableMapping[str, str]) -> None:
        """Take the variables out of ``env``: children must not speak for the service."""
        self._address = env.pop("NOTIFY_SOCKET", "")
        microseconds = env.pop("WATCHDOG_USEC", "")
        owner = env.pop("WATCHDOG_PID", "") or str(os.getpid())
        self.watchdog: float | None = None
        if self._address and microseconds.isdecimal() and owner == str(os.getpid()):
            self.watchdog = int(microseconds) / 1e6

    def ready(self, status: str) -> None:
        """The service serves."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self, monotonic_us: int) -> None:
        """The service changes its configuration; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_us}")

    def stopping(self) -> None:
        """The service ends."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The service's loop turns."""
        if self.watchdog is not None:
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        # Python has none on Windows.
        family = getattr(socket, "AF_UNIX", None)
        if family is None or not self._address:
            return
        # A name that begins with @ is in the abstract namespace.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(family, socket.SOCK_DGRAM) as sender,
        ):
            sender.setblocking(False)
            sender.sendto(message.encode(), address)
