"""Firefox, driven over WebDriver BiDi: https://www.w3.org/TR/webdriver-bidi/."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import ClientConnection, connect

__all__ = ["Firefox", "start_firefox"]

_LIMIT: Final = 45.0
"""Seconds; a watchdog."""
_POLL: Final = 0.05
_LISTENING: Final = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_PREFERENCES: Final[dict[str, bool]] = {
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
}


@contextlib.contextmanager
def start_firefox(executable: str, profile: Path, hosts: str) -> Iterator[Firefox]:
    """Run Firefox with a profile of its own.

    Args:
        executable: its path.
        profile: an empty folder.
        hosts: names that mean this host, separated by commas.
    """
    preferences = {**_PREFERENCES, "network.dns.localDomains": hosts}
    (profile / "user.js").write_text(
        "\n".join(
            f"user_pref({json.dumps(name)}, {json.dumps(value)});"
            for name, value in preferences.items()
        )
    )
    with subprocess.Popen(
        [executable, "--headless", "--profile", str(profile), "--remote-debugging-port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(profile)},
    ) as process:
        try:
            assert process.stderr is not None
            address = next(filter(None, map(_LISTENING.search, process.stderr)), None)
            assert address is not None, "Firefox ended"
            with connect(f"{address[1]}/session", max_size=None, open_timeout=_LIMIT) as socket:
                yield Firefox(socket)
        finally:
            process.kill()


class Firefox:
    """One tab of a Firefox."""

    def __init__(self, socket: ClientConnection) -> None:
        """Take over the tab that it started with.

        Args:
            socket: to its BiDi endpoint.
        """
        self._socket = socket
        self._commands = 0
        self._ask("session.new", capabilities={})
        (tab,) = self._ask("browsingContext.getTree")["contexts"]
        self._tab: str = tab["context"]

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._commands += 1
        command = {"id": self._commands, "method": method, "params": parameters}
        self._socket.send(json.dumps(command))
        while (answer := json.loads(self._socket.recv(_LIMIT))).get("id") != self._commands:
            pass
        assert answer["type"] == "success", answer
        return answer["result"]

    def open(self, url: str) -> None:
        """Go to a page, and wait until it is loaded."""
        self._ask("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression that is JSON."""
        answer = self._ask(
            "script.evaluate",
            expression=f"JSON.stringify({expression})",
            target={"context": self._tab},
            awaitPromise=False,
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def wait(self, condition: str) -> dict[str, Any]:
        """Wait until a condition on the player's statistics ``s`` holds; those statistics."""
        deadline = time.monotonic() + _LIMIT
        while True:
            stats, met = self.evaluate(
                "(s => [s, Boolean(s && (CONDITION))])"
                "(document.querySelector('relay-player').getStats?.() ?? null)".replace(
                    "CONDITION", condition
                )
            )
            if met:
                found: dict[str, Any] = stats
                return found
            assert time.monotonic() < deadline, f"{condition}; {stats}"
            time.sleep(_POLL)
