"""The player in Firefox, through WebCodecs and, on a page that is not secure, without them."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.browser.conftest import ELSEWHERE, Publish
from tests.browser.firefox import Firefox, start_firefox
from tests.browser.pictures import GOOD, clip_picture, psnr
from tests.browser.player import CAPTURE
from tests.e2e.relay_process import RelayProcess
from tests.media import clip_path

pytestmark = pytest.mark.browser

LIVE: Final = "s.state === 'live' && s.painted > 5 && s.queued === 0"


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    """One Firefox."""
    executable = shutil.which("firefox-esr") or shutil.which("firefox")
    if executable is None:
        pytest.skip("firefox is not installed")
    with start_firefox(executable, tmp_path, ELSEWHERE) as started:
        yield started


@pytest.mark.parametrize(("host", "decoder"), [("127.0.0.1", "function"), (ELSEWHERE, "undefined")])
def test_the_very_frames(
    relay: RelayProcess, publish: Publish, firefox: Firefox, host: str, decoder: str
) -> None:
    publish(str(clip_path()), "clip", "--loop")
    firefox.open(f"http://{host}:{relay.port}/watch/clip")
    assert firefox.evaluate("typeof VideoDecoder") == decoder
    seq = firefox.wait(LIVE)["seq"]
    for _ in range(2):
        firefox.wait(f"s.seq >= {seq + 20}")
        seq, width, height, text = firefox.evaluate(f"({CAPTURE})('relay-player')")
        pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
        # Its video element may tell of a picture when only the one before can be copied.
        off = 0 if decoder == "function" else 1
        shown = range(seq - off, seq + off + 1)
        likeness = max(psnr(pixels[..., :3], clip_picture(each)) for each in shown)
        assert likeness >= GOOD, f"frame {seq}: {likeness:.1f} dB"
    stats = firefox.wait(LIVE)
    assert (stats["skips"], stats["reconnects"]) == (0, 0)
    assert not relay.errors()
