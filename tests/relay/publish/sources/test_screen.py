"""Screen capture from a real X server without a screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice

import pytest

from relay.publish.errors import SourceError
from tests.relay.publish.decoding import decode
from tests.relay.publish.sources.media import FeedRun

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("Xvfb") is None,
    reason="needs Xvfb on Linux",
)


@pytest.fixture
def display() -> Iterator[str]:
    """The number of a running X server, chosen by itself."""
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "801x601x24", "-nolisten", "tcp"],
        pass_fds=(writer,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader) as ready:
        number = ready.readline().strip()
    try:
        if not number:
            pytest.skip("Xvfb does not start here")
        yield number
    finally:
        server.terminate()
        server.wait()


def test_the_screen_is_published(display: str) -> None:
    run = FeedRun(f"screen:{display}")
    frames = list(islice(run.frames(), 5))
    run.stop.set()
    assert run.feed.live
    assert frames[0].key
    assert (frames[0].info.width, frames[0].info.height) == (800, 600)
    assert frames[0].info.codec.startswith("avc1.")
    assert len(decode(frames)) == 5
    assert frames[-1].pts_us > frames[0].pts_us


def test_a_display_that_does_not_exist() -> None:
    with pytest.raises(SourceError, match=r"cannot open 'screen:4242'.*X server on display :4242"):
        next(FeedRun("screen:4242").frames())
