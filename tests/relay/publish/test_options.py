"""Units on the command line, and where the token comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.publish.options import (
    PublishOptions,
    parse_bitrate,
    parse_fps,
    parse_ring,
    parse_seconds,
    parse_size,
    read_token,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1280x720", (1280, 720)), ("641X361", (640, 360)), ("64x64", (64, 64))],
)
def test_size(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "720p", "1280", "0x0", "62x62", "99999x2", "-1x5", "axb"])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|range"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "bits"), [("4M", 4_000_000), ("800k", 800_000), ("1.5m", 1_500_000), ("64000", 64_000)]
)
def test_bitrate(text: str, bits: int) -> None:
    assert parse_bitrate(text) == bits


@pytest.mark.parametrize("text", ["", "fast", "4 M", "1", "99G", "-4M", "nan"])
def test_no_bitrate(text: str) -> None:
    with pytest.raises(ValueError, match="bitrate"):
        parse_bitrate(text)


@pytest.mark.parametrize(("text", "size"), [("16M", 1 << 24), ("40m", 1 << 26), ("1G", 1 << 30)])
def test_ring(text: str, size: int) -> None:
    assert parse_ring(text) == size


@pytest.mark.parametrize("text", ["", "16", "0M", "2G", "1T"])
def test_no_ring(text: str) -> None:
    with pytest.raises(ValueError, match="ring"):
        parse_ring(text)


def test_numbers() -> None:
    assert (parse_fps("29.97"), parse_seconds("0.5")) == (29.97, 0.5)


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "x", "241"])
def test_no_frame_rate(text: str) -> None:
    with pytest.raises(ValueError, match="frame rate"):
        parse_fps(text)


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "x"])
def test_no_seconds(text: str) -> None:
    with pytest.raises(ValueError, match="seconds"):
        parse_seconds(text)


class TestToken:
    def test_order(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text("from-file\nsecond line\n")
        assert read_token("given", None, "env") == "given"
        assert read_token(None, str(file), "env") == "from-file"
        assert read_token(None, None, "env") == "env"
        assert read_token(None, None, "") is None

    @pytest.mark.parametrize("content", ["", "\n", "two words", "bell\x07", "naïve"])
    def test_unusable(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "token"
        file.write_text(content)
        with pytest.raises(ValueError, match="token") as caught:
            read_token(None, str(file), None)
        assert "words" not in str(caught.value).replace("one word", "")

    def test_missing_file(self) -> None:
        with pytest.raises(ValueError, match="cannot read the token file 'nowhere'"):
            read_token(None, "nowhere", None)

    def test_it_is_never_shown(self) -> None:
        assert "s3cret" not in repr(PublishOptions("demo", "a", token="s3cret"))
