"""Frames that are no video, and pictures that are whole frames, from a Python program."""

from __future__ import annotations

import base64
import io
from typing import Final

import numpy as np
import pytest
from PIL import Image

from bus import Publisher
from tests.browser.conftest import OpenPage
from tests.browser.pictures import GOOD, psnr
from tests.browser.player import Player
from tests.e2e.relay_process import RelayProcess

pytestmark = pytest.mark.browser

FRAMES: Final = 10


def test_data_stream_hands_its_frames_to_the_page(
    relay: RelayProcess, instance: str, open_page: OpenPage
) -> None:
    """The ``frame`` event has the payload and the numbers; the player says what it is."""
    payloads = [bytes([number]) * (number * 1000) for number in range(FRAMES)]
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/numbers"))
    player.wait("s.state === 'waiting'")
    with Publisher("numbers", codec="application/octet-stream", instance=instance) as publisher:
        for number, payload in enumerate(payloads):
            publisher.write(payload, pts_us=number * 1000, capture_us=1_000_000 + number)
            # One at a time: a viewer that joins late has a right to the newest alone.
            player.wait(f"s.decoded === {number + 1}")
        frames = player.page.evaluate("seen.frames")
        assert [base64.b64decode(each.pop("data")) for each in frames] == payloads
        assert frames == [
            {"seq": n, "ptsUs": n * 1000, "captureUs": 1_000_000 + n, "key": True}
            for n in range(FRAMES)
        ]
        player.page.get_by_text("Data stream").wait_for()
        stats = player.stats()
    assert (stats["state"], stats["codec"]) == ("live", "application/octet-stream")
    assert (stats["skips"], stats["dropped"]) == (0, 0)


def test_jpeg_stream_of_a_python_program(
    relay: RelayProcess, instance: str, open_page: OpenPage
) -> None:
    """Each picture of a Motion JPEG stream is on the canvas after it was written."""
    player = Player(open_page(f"http://127.0.0.1:{relay.port}/watch/cam0"))
    player.wait("s.state === 'waiting'")
    with Publisher("cam0", codec="mjpeg", width=160, height=120, instance=instance) as publisher:
        for turn in range(4):
            picture = np.zeros((120, 160, 3), np.uint8)
            picture[30 * turn : 30 * turn + 30, :, turn % 3] = 220
            seq = publisher.write(_jpeg(picture))
            player.wait(f"s.seq === {seq}")
            assert psnr(player.capture().picture, picture) >= GOOD


def _jpeg(picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()
