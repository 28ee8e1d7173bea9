"""Network namespaces that end with whoever made them, and cables between them.

A namespace has no name in the file system: it lives as long as processes in it. The first of
them ends when its maker does, however that happens, since nobody holds the other end of its
standard input any more. With the namespace go the devices in it, and a cable goes with either
of its ends, so a test run that is killed leaves no address behind that the next could meet.

Needs root, iproute2 and util-linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

__all__ = ["Cable", "Namespace", "NamespaceError"]

_NEW_NET: Final = 0x40000000
_SUBNETS: Final = 1 << 15
"""Of four addresses each in 198.18.0.0/15, which is for tests of networks (RFC 2544)."""


class NamespaceError(OSError):
    """What was asked for cannot be made here."""


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except subprocess.CalledProcessError as exc:
        raise NamespaceError(f"{' '.join(command)}: {exc.stderr.strip()}") from None


@dataclass(frozen=True, slots=True)
class Cable:
    """A cable from this process's own network into a namespace.

    Attributes:
        device: its end in the namespace.
        near: address of this process's end.
        far: address of the namespace's end.
    """

    device: str
    near: str
    far: str


class Namespace:
    """A network of its own, with a loopback device."""

    def __init__(self) -> None:
        """Make it.

        Raises:
            NamespaceError, OSError: that is not possible here.
        """
        self._near: list[str] = []
        self._holder = subprocess.Popen(
            ["unshare", "--net", "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        # The echo shows that it is over there.
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        with contextlib.suppress(BrokenPipeError):
            self._holder.stdin.write(b"\n")
            self._holder.stdin.flush()
        if not self._holder.stdout.readline():
            reason = self._holder.stderr.read().decode().strip()
            self.close()
            raise NamespaceError(reason)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def prefix(self) -> list[str]:
        """Runs a command in it."""
        return ["nsenter", f"--net={self._path}", "--"]

    @property
    def _path(self) -> str:
        return f"/proc/{self._holder.pid}/ns/net"

    def run(self, *command: str) -> str:
        """Run a command in it to its end; what it printed.

        Raises:
            NamespaceError: it failed.
        """
        return _run(*self.prefix, *command)

    def join(self, device: str, other: Namespace, other_device: str) -> None:
        """Lay a cable from a new device here to a new one in another namespace."""
        peer = ("peer", "name", other_device, "netns", str(other._holder.pid))
        self.run("ip", "link", "add", device, "type", "veth", *peer)
        self.run("ip", "link", "set", device, "up")
        other.run("ip", "link", "set", other_device, "up")

    def cable(self, device: str) -> Cable:
        """Lay a cable from this process's own network to a new device here."""
        near = f"cable{secrets.token_hex(4)}"
        peer = ("peer", "name", device, "netns", str(self._holder.pid))
        _run("ip", "link", "add", near, "type", "veth", *peer)
        self._near.append(near)
        high, low = divmod(secrets.randbelow(_SUBNETS) * 4, 256)
        subnet = f"198.{18 + high // 256}.{high % 256}"
        made = Cable(device, f"{subnet}.{low + 1}", f"{subnet}.{low + 2}")
        _run("ip", "addr", "add", f"{made.near}/30", "dev", near)
        _run("ip", "link", "set", near, "up")
        self.run("ip", "addr", "add", f"{made.far}/30", "dev", device)
        self.run("ip", "link", "set", device, "up")
        return made

    def tcp_socket(self) -> socket.socket:
        """A TCP socket over there, which does not block."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._make_socket).result()

    def _make_socket(self) -> socket.socket:
        # The thread moves there and ends; a socket stays where it was made.
        libc = ctypes.CDLL(None, use_errno=True)
        with open(self._path) as space:
            if libc.setns(space.fileno(), _NEW_NET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        made = socket.socket()
        made.setblocking(False)
        return made

    def close(self) -> None:
        """Remove it; processes and sockets over there may keep it for a while, but no cable."""
        for device in self._near:
            with contextlib.suppress(NamespaceError):
                _run("ip", "link", "del", device)
        with contextlib.suppress(BrokenPipeError):
            self._holder.communicate()
