"""Asking the relay to do something, through its admin API."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request

from workers.ports import ADMIN_PREFIX

__all__ = ["AdminClient"]

_TIMEOUT = 10.0


class AdminClient:
    """Asks one relay of this host."""

    def __init__(self, url: str, token: str) -> None:
        """Prepare.

        Args:
            url: where it serves, from its own shared memory.
            token: the admin token; empty: nothing can be asked.
        """
        self._url = url.rstrip("/")
        self._token = token
        # The address is this machine's own, and the certificate is for its public name.
        self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trust.check_hostname = False
        self._trust.verify_mode = ssl.CERT_NONE
        # A proxy is for other hosts.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._trust)
        )

    def ask(self, action: str) -> str:
        """Ask for an action, such as ``workers/2/drain``; waits for the answer.

        Returns:
            What is wrong, in words; empty when the relay takes it up.
        """
        if not self._token:
            return "no admin token: start relay-top with --admin-token-file"
        request = urllib.request.Request(
            self._url + ADMIN_PREFIX + action,
            method="POST",
            headers={"Authorization": f"Bearer {self._token}"},
        )
        try:
            with self._opener.open(request, timeout=_TIMEOUT):
                return ""
        except urllib.error.HTTPError as exc:
            with exc:
                return _words(exc.read(), exc.code)
        except OSError as exc:
            reason = getattr(exc, "reason", exc)
            return f"the relay does not answer: {getattr(reason, 'strerror', None) or reason}"


def _words(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the relay answers HTTP {status}"
