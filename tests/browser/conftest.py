"""Pages in a real browser, from a real relay, of what the real publisher publishes."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.publishing import PublishCommand
from tests.e2e.conftest import StartRelay
from tests.e2e.conftest import start_relay as start_relay
from tests.e2e.relay_process import RelayProcess

Publish = Callable[..., PublishCommand]
OpenPage = Callable[..., Page]

ELSEWHERE = "relay.test"
"""This host under a name that browsers do not trust without TLS."""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
)
OBSERVER = Path(__file__).with_name("observe.js")
_WATCHDOG: Final = 90.0
"""Seconds for the tabs of one test. What pytest-timeout raises at its limit it raises in the
midst of Playwright's loop, which may swallow it, or never end after it."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this folder, and none beyond them."""
    with open_chromium() as chromium:
        yield chromium


@contextlib.contextmanager
def open_chromium() -> Iterator[Browser]:
    """A Chromium; while it is open, this thread has a running event loop."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Tabs of one test; a page's error that nobody caught fails it."""
    with _watched(), browser.new_context(viewport={"width": 1280, "height": 800}) as opened:
        opened.add_init_script(path=OBSERVER)
        errors: list[str] = []
        opened.on("weberror", lambda error: errors.append(str(error.error)))
        yield opened
    assert not errors, f"errors in pages: {errors}"


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """End Chromium if this takes too long: then whatever waits for it fails."""
    watchdog = threading.Timer(_WATCHDOG, _end_chromium)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


def _end_chromium() -> None:
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "chrom" in process.name():
                process.kill()


@pytest.fixture
def open_page(context: BrowserContext) -> OpenPage:
    """Opens a page in a tab of its own."""

    def open_(url: str, **options: Any) -> Page:
        page = context.new_page()
        page.goto(url, **options)
        return page

    return open_


@pytest.fixture
def relay(start_relay: StartRelay) -> RelayProcess:
    """A relay with four workers, ready."""
    return start_relay()


@pytest.fixture
def publish(start_relay: StartRelay, instance: str) -> Iterator[Publish]:
    """Starts ``relay-publish`` and waits until its stream is live; it ends before the relay."""
    started: list[PublishCommand] = []

    def start(source: str, stream: str, *options: str) -> PublishCommand:
        command = PublishCommand(source, stream, instance, *options)
        started.append(command)
        command.wait_live()
        return command

    yield start
    for command in started:
        command.stop()
