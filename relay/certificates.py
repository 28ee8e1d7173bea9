"""Reading a certificate and its key, so that whatever is wrong is said before it is served.

The last check is a handshake, in memory, with a client that trusts this one certificate: it
finds what a real client would complain of, except for who signed it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from relay.errors import CertificateError
from workers.certificate import Certificate, server_context

__all__ = ["load_certificate"]

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"
_KEY: Final = b"PRIVATE KEY-----"
_ENCRYPTED: Final = b"ENCRYPTED"
_MISMATCH: Final = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"})
_EXPIRED: Final = 10
_NOT_YET: Final = 9
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID."""
_TURNS: Final = 8
"""Flights of a handshake, with room."""


def load_certificate(
    cert_file: str, key_file: str, read: Callable[[str], bytes] | None = None
) -> Certificate:
    """Read and try a certificate.

    Args:
        cert_file: the server's certificate and then the intermediate ones, in PEM form.
        key_file: its key; empty: in the same file.
        read: gives a file's bytes; the file system's by default.

    Raises:
        CertificateError: one line that names the file and the remedy.
    """
    read = read or _read
    chain = _contents(read, cert_file, "TLS certificate file")
    start = chain.find(_BEGIN)
    end = chain.find(_END)
    if not 0 <= start < end:
        raise CertificateError(
            f"TLS certificate file {cert_file!r} holds no certificate in PEM form"
        )
    key_name = key_file or cert_file
    key = _contents(read, key_file, "TLS key file") if key_file else b""
    found = key or chain
    if _KEY not in found:
        remedy = "" if key_file else "; name the file of its key with --tls-key"
        raise CertificateError(f"{key_name!r} holds no private key in PEM form{remedy}")
    if _ENCRYPTED in found:
        raise CertificateError(
            f"the private key in {key_name!r} is encrypted, and nobody is there to give its "
            f"passphrase; decrypt it: openssl pkey -in {key_name} -out FILE"
        )
    certificate = Certificate(key + b"\n" + chain)
    try:
        context = server_context(certificate)
    except ssl.SSLError as exc:
        if exc.reason in _MISMATCH:
            reason = f"the key in {key_name!r} is not that of its first certificate"
        else:
            reason = f"OpenSSL says {(exc.reason or str(exc)).lower().replace('_', ' ')}"
        raise CertificateError(f"TLS certificate {cert_file!r} cannot be used: {reason}") from None
    own = chain[start : end + len(_END)].decode("ascii", "replace")
    return Certificate(certificate.pem, _expiry(context, own, cert_file))


def _contents(read: Callable[[str], bytes], name: str, what: str) -> bytes:
    try:
        return read(name)
    except OSError as exc:
        raise CertificateError(f"{what} {name!r} cannot be read: {exc.strerror}") from None


def _read(name: str) -> bytes:
    return Path(name).expanduser().read_bytes()


def _expiry(context: ssl.SSLContext, own: str, name: str) -> int:
    """When the certificate ends, Unix time, as a client learns it in a handshake."""
    try:
        peer = _handshake(context, own)
    except ssl.SSLCertVerificationError as exc:
        reasons = {
            _EXPIRED: "has expired; renew it",
            _NOT_YET: "is not valid yet; look at this machine's clock",
        }
        words = reasons.get(exc.verify_code, f"would be refused: {exc.verify_message}")
        raise CertificateError(f"TLS certificate {name!r} {words}") from None
    except ssl.SSLError as exc:
        raise CertificateError(f"TLS certificate {name!r} cannot be used: {exc.reason}") from None
    return int(ssl.cert_time_to_seconds(str(peer["notAfter"])))


def _handshake(server: ssl.SSLContext, trusted: str) -> dict[str, object]:
    """What a client that trusts the certificate is told of it."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusting.load_verify_locations(cadata=trusted)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_end = trusting.wrap_bio(to_client, to_server)
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_TURNS):
        for end in (client_end, server_end):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dict(client_end.getpeercert() or {})
