"""Decoding and encoding again: sources that browsers cannot play, and wished-for changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.publish.sources.transcode import FrameRateLimit
from tests.media import make_video
from tests.relay.publish.decoding import decode
from tests.relay.publish.sources.media import publish


class TestWhatIsEncoded:
    @pytest.mark.parametrize(
        ("name", "encoder", "pix_fmt"),
        [
            ("a.avi", "mpeg4", "yuv420p"),
            ("b.mp4", "libx264", "yuv420p10le"),
            ("c.mp4", "libx264", "yuv444p"),
            ("d.mkv", "ffv1", "yuv420p"),
        ],
    )
    def test_what_browsers_cannot_decode(
        self, tmp_path: Path, name: str, encoder: str, pix_fmt: str
    ) -> None:
        frames = publish(make_video(tmp_path / name, encoder, pix_fmt=pix_fmt))
        assert frames[0].info.codec.startswith("avc1.")
        assert frames[0].info.init == b""
        assert len(decode(frames)) == 30

    def test_what_the_user_wants_encoded(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "a.mp4", "libx264", options={"bf": "3"})
        frames = publish(path, encode=True)
        assert [frame.pts_us for frame in frames] == [number * 40_000 for number in range(30)]
        assert len(decode(frames)) == 30

    def test_another_codec(self, tmp_path: Path) -> None:
        frames = publish(make_video(tmp_path / "a.mp4", "libx264"), codec="vp8")
        assert frames[0].info.codec == "vp8"

    def test_the_same_codec_passes_through(self, tmp_path: Path) -> None:
        frames = publish(make_video(tmp_path / "a.mp4", "libx264"), codec="h264")
        assert frames[0].info.init


class TestChanges:
    def test_size(self, tmp_path: Path) -> None:
        frames = publish(make_video(tmp_path / "a.mp4", "libx264"), encode=True, size=(160, 120))
        assert (frames[0].info.width, frames[0].info.height) == (160, 120)
        assert decode(frames)[0].width == 160

    def test_odd_sizes_are_made_even(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "a.mkv", "ffv1", size=(321, 241), pix_fmt="yuv444p")
        frames = publish(path)
        assert (frames[0].info.width, frames[0].info.height) == (320, 240)

    def test_a_lower_frame_rate(self, tmp_path: Path) -> None:
        frames = publish(make_video(tmp_path / "a.mp4", "libx264"), encode=True, fps=5.0)
        assert [frame.pts_us for frame in frames] == [
            0,
            200_000,
            400_000,
            600_000,
            800_000,
            1_000_000,
        ]
        assert frames[0].info.fps == 5.0

    def test_a_higher_frame_rate_invents_nothing(self, tmp_path: Path) -> None:
        frames = publish(make_video(tmp_path / "a.mp4", "libx264"), encode=True, fps=60.0)
        assert len(frames) == 30
        assert frames[0].info.fps == 25.0


@given(st.sampled_from([24, 25, 30, 50, 60]), st.floats(1, 60))
def test_the_rate_limit_is_kept(source_fps: int, fps: float) -> None:
    limit = FrameRateLimit(fps)
    seconds = 10
    times = [number * 1_000_000 // source_fps for number in range(seconds * source_fps)]
    kept = sum(map(limit.keep, times))
    expected = min(fps, source_fps) * seconds
    assert expected * 0.9 - 2 <= kept <= expected * 1.05 + 2


def test_a_damaged_packet_costs_its_picture_only(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.avi", "mpeg4")
    data = bytearray(path.read_bytes())
    at = data.index(b"\0\0\1\xb6", len(data) // 2)
    data[at : at + 12] = bytes(12)
    path.write_bytes(data)
    assert len(publish(path)) > 20
