"""Takes the README's pictures from a real relay: ``python -m tests.browser.screenshots``.

Six streams, published in all ways: the relay's own pattern, a clip over WebSocket, the same clip
encoded anew, and three of a Python program, of which one is no video.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from bus import Publisher
from tests.browser import drawings
from tests.browser.conftest import FLAGS
from tests.browser.player import Player
from tests.browser.publishing import PublishCommand
from tests.e2e.relay_process import PROJECT, RelayProcess
from tests.media import CLIP_FRAMES, clip_path

FOLDER: Final = PROJECT / ".github" / "images"
LIMIT: Final = 500_000
"""Bytes of a picture."""
INSTANCE: Final = "screenshots"
STREAMS: Final = ("demo", "gate", "movie", "radar", "spectrum", "telemetry")
DRAWN_FPS: Final = 20
ACCENTS: Final = ((255, 90, 82), (47, 125, 225), (124, 192, 255), (233, 237, 242), (160, 171, 184))
"""Colours of the pages that small areas have, and that a palette must not lose."""


def main() -> int:
    """Write both pictures."""
    executable = shutil.which("chromium")
    if executable is None:
        print("chromium is not installed", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        relay = stack.enter_context(_relay())
        url = f"127.0.0.1:{relay.port}"
        stack.enter_context(_command("movie", "--to", f"ws://{url}"))
        stack.enter_context(_command("gate", "--size", "480x270", "--fps", "15", "--codec", "vp8"))
        stack.enter_context(_drawn("radar", "mjpeg", drawings.radar))
        stack.enter_context(_drawn("spectrum", "mjpeg", drawings.spectrogram))
        stack.enter_context(_drawn("telemetry", "application/octet-stream", _telemetry))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        _take_both(browser, f"http://{url}")
        browser.close()
    return 0


@contextmanager
def _relay() -> Iterator[RelayProcess]:
    with tempfile.TemporaryDirectory() as folder:
        relay = RelayProcess(INSTANCE, Path(folder) / "relay.log", "--demo")
        try:
            relay.wait_ready()
            yield relay
        finally:
            relay.clean_up()


@contextmanager
def _command(stream: str, *options: str) -> Iterator[None]:
    command = PublishCommand(str(clip_path()), stream, INSTANCE, "--loop", *options)
    try:
        command.wait_live()
        yield
    finally:
        command.stop()


@contextmanager
def _drawn(stream: str, codec: str, draw: Callable[[float], bytes]) -> Iterator[None]:
    stop = threading.Event()
    width, height = drawings.SIZE if codec == "mjpeg" else (0, 0)
    # Drawn before, so that what is drawn takes no time from what is encoded and decoded.
    frames = [draw(number / DRAWN_FPS) for number in range(drawings.PERIOD_S * DRAWN_FPS)]

    def publish() -> None:
        with Publisher(
            stream, codec=codec, width=width, height=height, instance=INSTANCE
        ) as publisher:
            begin = time.monotonic()
            for number in itertools.count():
                publisher.write(frames[number % len(frames)])
                if stop.wait(max(0, begin + number / DRAWN_FPS - time.monotonic())):
                    break

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _telemetry(seconds: float) -> bytes:
    return json.dumps({"heading": seconds * 90, "roll": math.sin(seconds)}).encode()


def _take_both(browser: Browser, url: str) -> None:
    grid = _open(browser, f"{url}/")
    for stream in STREAMS:
        Player(grid, stream).wait("s.state === 'live' && s.painted > 100")
    # The list is read every two seconds; in it everybody has arrived by now.
    grid.get_by_text("6 live").wait_for()
    grid.wait_for_function(
        "() => [...document.querySelectorAll('.traffic')].every(e => e.textContent[0] === '1')"
    )
    _save(grid, "index.png")
    # Who joins at a key frame has nothing to catch up with.
    Player(grid, "movie").wait(f"s.seq % {CLIP_FRAMES} < 20")
    page = _open(browser, f"{url}/watch/movie")
    grid.close()
    player = Player(page)
    player.wait_live()
    page.keyboard.press("s")
    player.wait(f"s.painted > 70 && s.seq % {CLIP_FRAMES} > 100")
    _save(page, "watch.png")


def _open(browser: Browser, url: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    page.goto(url)
    return page


def _save(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = FOLDER / name
    picture.save(path, optimize=True)
    if path.stat().st_size > LIMIT:
        _with_palette(picture).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.relative_to(PROJECT)}: {size // 1000} kB")
    assert size <= LIMIT, f"{name} is too large"


def _with_palette(picture: Image.Image) -> Image.Image:
    count = 256 - len(ACCENTS)
    colours = picture.quantize(count, Image.Quantize.FASTOCTREE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*colours[: 3 * count], *sum(ACCENTS, ())])
    return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


if __name__ == "__main__":
    sys.exit(main())
