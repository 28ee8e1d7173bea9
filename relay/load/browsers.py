"""Real browsers: Chromium pages with the shipped player, and what their players say.

In a process of its own, because Playwright wants a thread for itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Error, Page, sync_playwright

from relay.load.pipe import Pipe

__all__ = ["browsers_main", "find_chromium"]

_LOOK: Final = 1.0
_FLAGS: Final = ("--no-first-run", "--disable-background-networking", "--disable-sync")
_STATS: Final = "document.querySelector('relay-player')?.getStats() ?? null"


def find_chromium(chosen: str | None) -> str:
    """Path of a Chromium: the one asked for, ``$RELAY_CHROMIUM``'s, Playwright's, or PATH's.

    Raises:
        ValueError: when there is none.
    """
    asked = chosen or os.environ.get("RELAY_CHROMIUM")
    if asked:
        if shutil.which(asked) is None:
            raise ValueError(f"there is no program {asked!r} to run as Chromium")
        return asked
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    if Path(own).exists():
        return own
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    raise ValueError("--browsers: no Chromium was found; install one or name it with --chromium")


def browsers_main(executable: str, urls: Sequence[str], pipe: Pipe) -> None:
    """Run in a process of its own; anything that comes by ``pipe``, or its end, stops it.

    Args:
        executable: of Chromium.
        urls: one for each page.
        pipe: takes, once a second, what each page's player says; or, in words, why it cannot.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setsid"):
        # Ctrl-C is for the command, not for Chromium and what drives it: they end at its word.
        os.setsid()
    # Chromium's own sandbox does not work for root.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    flags = [*_FLAGS, *["--no-sandbox"] * root]
    with sync_playwright() as playwright, contextlib.suppress(OSError):
        try:
            browser = playwright.chromium.launch(executable_path=executable, args=flags)
            pages = [browser.new_page() for _ in urls]
            for page, url in zip(pages, urls, strict=True):
                page.goto(url, wait_until="commit")
        except Error as exc:
            pipe.send(_words(exc, urls))
            return
        while not pipe.poll(_LOOK):
            pipe.send([_stats(page) for page in pages])
        browser.close()


def _stats(page: Page) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = page.evaluate(_STATS)
    except Error:
        return None
    return found


def _words(exc: Error, urls: Sequence[str]) -> str:
    """The first line of a long account, without a token."""
    line = exc.message.partition("\n")[0]
    for url in urls:
        line = line.replace(url, url.partition("?")[0])
    return line
