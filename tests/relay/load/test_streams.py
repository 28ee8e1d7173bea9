"""The description of test streams."""

from __future__ import annotations

import pytest

from relay.load.streams import SyntheticStreams, parse_streams


@pytest.mark.parametrize(
    ("text", "names", "fps", "size"),
    [
        ("demo", ("demo",), 30, 16384),
        ("demo@30fps,16KiB\u00d73", ("demo1", "demo2", "demo3"), 30, 16384),
        ("cam@2MiB*2", ("cam1", "cam2"), 30, 2 << 20),
        ("cam@12.5fps,500Bx2", ("cam1", "cam2"), 12.5, 500),
        ("box2", ("box2",), 30, 16384),
        ("a*1", ("a",), 30, 16384),
    ],
)
def test_read(text: str, names: tuple[str, ...], fps: float, size: int) -> None:
    found = parse_streams(text)
    assert (found.names, found.fps, found.size) == (names, fps, size)


def test_one_name_stands_for_all() -> None:
    streams = SyntheticStreams("cam", ("cam1", "cam2"))
    assert streams.has("cam")
    assert streams.has("cam2")
    assert not streams.has("cam3")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "streams"),
        ("@30fps", "streams"),
        ("demo@fast", "fast"),
        ("demo@30fps,60fps", "twice"),
        ("demo@0fps", "rate"),
        ("demo@1000fps", "rate"),
        ("demo@1B", "64B"),
        ("demo@5MiB", "4MiB"),
        ("demo*0", "1 to"),
        ("demo*1000", "1 to"),
        ("../x", "name"),
    ],
)
def test_what_is_none(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_streams(text)
