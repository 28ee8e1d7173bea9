"""TLS between a transport and its protocol, with nothing of its own in between.

To the protocol above, a `TlsLayer` is its transport; to the loop's transport below, it is the
protocol. What the protocol writes is encrypted at once and handed on, so flow control below
is flow control above, exactly as without TLS: what is not sent yet is in one place, and the
rules for one frame in flight, for progress and for closing hold. (The event loops' own TLS
holds bytes back that nobody sees, and cannot close one direction.)

The handshake begins with the connection, so the time that a request's header may take is
time for both. One of ours that was closed for writing decrypts nothing any more: what the
peer still sends is read and dropped until its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

__all__ = ["TlsLayer"]

_CHUNK: Final = 65_536
_PLAIN_HTTP: Final = "HTTP_REQUEST"
"""OpenSSL's word for a plain request where TLS was expected."""
_PLAIN_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Connection: close\r\n\r\nthis relay speaks TLS: use https:// or wss://\n"
)


class TlsLayer(asyncio.Transport, asyncio.Protocol):
    """One connection's TLS; see the module."""

    def __init__(
        self,
        context: ssl.SSLContext,
        protocol: asyncio.Protocol,
        failed: Callable[[str], object],
    ) -> None:
        """Prepare.

        Args:
            context: the server's.
            protocol: whom decrypted bytes are for.
            failed: called once if the peer breaks TLS, with the reason in words.
        """
        super().__init__()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._protocol = protocol
        self._failed = failed
        self._shaken = False
        # No more is decrypted: the peer finished, broke TLS, or was told that we finish.
        self._over = False
        # Our end has been said.
        self._finished = False

    # The protocol of the transport below.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        # uvloop's transports have the interface without the base class.
        self._below = cast(asyncio.Transport, transport)
        self._protocol.connection_made(self)

    def data_received(self, data: bytes) -> None:
        """Encrypted bytes from the peer."""
        if self._over:
            return
        self._incoming.write(data)
        parts: list[bytes] = []
        error = None
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while part := self._tls.read(_CHUNK):
                parts.append(part)
            self._over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            self._over = True
            error = exc
        # Answers of TLS itself, and alerts.
        self._flush()
        if parts:
            self._protocol.data_received(b"".join(parts))
        if error is not None:
            self._refuse(error)
        elif self._over and not self._below.is_closing() and not self._protocol.eof_received():
            self.close()

    def _refuse(self, error: ssl.SSLError) -> None:
        if self._below.is_closing():
            return
        if error.reason == _PLAIN_HTTP:
            self._below.write(_PLAIN_ANSWER)
        self._failed((error.reason or str(error)).lower().replace("_", " "))
        self._below.close()

    def eof_received(self) -> bool | None:
        """The peer finished, with or without saying so in TLS."""
        if self._over:
            # Told already, or of no interest any more.
            return False
        self._over = True
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Flow control, from below."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Flow control, from below."""
        self._protocol.resume_writing()

    # The transport of the protocol above.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; what comes before the end of the handshake goes nowhere."""
        if not self._shaken or self._below.is_closing():
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
        self._flush()

    def _flush(self) -> None:
        if (data := self._outgoing.read()) and not self._below.is_closing():
            self._below.write(data)

    def _finish(self) -> None:
        """Tell the peer, in TLS, that nothing follows."""
        if self._shaken and not self._finished and not self._below.is_closing():
            # It fails as a rule: the peer's own end has not come yet.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._finished = self._over = True

    def can_write_eof(self) -> bool:
        """TLS can."""
        return True

    def write_eof(self) -> None:
        """Close our direction, after everything written."""
        self._finish()
        self._below.write_eof()

    def close(self) -> None:
        """Close after everything written."""
        self._finish()
        self._below.close()

    def abort(self) -> None:
        """Close at once."""
        self._over = True
        self._below.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._below.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the transport below, and ``ssl_object``."""
        if name == "ssl_object":
            return self._tls
        return self._below.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Encrypted bytes that the kernel has not taken."""
        return self._below.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of the transport below."""
        self._below.set_write_buffer_limits(high, low)
