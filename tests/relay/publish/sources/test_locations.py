"""What a SOURCE means on each platform, and what it cannot mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from relay.publish.errors import SourceError
from relay.publish.sources.locations import Kind, Location, locate
from tests.platforms import posix_only


def find(
    source: str,
    environment: Mapping[str, str] | None = None,
    *,
    platform: str = "linux",
    size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> Location:
    return locate(source, environment=environment or {}, platform=platform, size=size, fps=fps)


class TestFiles:
    def test_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        path.touch()
        found = find(str(path))
        assert (found.kind, found.file, found.title) == (Kind.FILE, f"file:{path}", "a.mp4")

    @posix_only
    def test_a_colon_in_a_name_is_no_protocol(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("1:2.mp4").touch()
        assert find("1:2.mp4").file == "file:1:2.mp4"

    def test_missing(self) -> None:
        with pytest.raises(SourceError, match=r"no file 'nowhere.mp4'; SOURCE is demo, screen"):
            find("nowhere.mp4")

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="is a folder"):
            find(str(tmp_path))


class TestUrls:
    def test_rtsp_goes_over_tcp_when_it_can(self) -> None:
        found = find("rtsp://cam/live")
        assert (found.kind, found.options) == (Kind.URL, {"rtsp_flags": "prefer_tcp"})

    @pytest.mark.parametrize(
        ("url", "title"),
        [
            ("rtsp://user:secret@cam:554/live?k=v", "rtsp://cam:554/live"),
            ("https://h/a.m3u8?token=secret#x", "https://h/a.m3u8"),
            ("udp://239.0.0.1:1234", "udp://239.0.0.1:1234"),
        ],
    )
    def test_secrets_are_not_shown(self, url: str, title: str) -> None:
        found = find(url)
        assert found.title == title
        assert found.file == url
        assert "secret" not in repr(found)


class TestScreen:
    def test_display_from_the_environment(self) -> None:
        found = find("screen", {"DISPLAY": ":7"}, fps=15)
        assert (found.kind, found.format, found.file) == (Kind.DEVICE, "x11grab", ":7")
        assert found.options["framerate"] == "15"

    @pytest.mark.parametrize(("source", "display"), [("screen:0", ":0"), ("screen:1.2", ":1.2")])
    def test_named_display(self, source: str, display: str) -> None:
        assert find(source, {"DISPLAY": ":7"}).file == display

    def test_no_display(self) -> None:
        with pytest.raises(SourceError, match=r"\$DISPLAY is not set; run inside the desktop"):
            find("screen")

    def test_wayland(self) -> None:
        with pytest.raises(SourceError, match="Wayland"):
            find("screen", {"WAYLAND_DISPLAY": "wayland-0"})

    def test_bad_display(self) -> None:
        with pytest.raises(SourceError, match="screen:0"):
            find("screen:left")

    def test_windows(self) -> None:
        found = find("screen", platform="win32")
        assert (found.format, found.file) == ("gdigrab", "desktop")

    def test_elsewhere(self) -> None:
        with pytest.raises(SourceError, match="not available on plan9"):
            find("screen", platform="plan9")


class TestCamera:
    def test_missing_device(self) -> None:
        with pytest.raises(SourceError, match=r"there is no /dev/video4242"):
            find("camera:4242")

    def test_bad_number(self) -> None:
        with pytest.raises(SourceError, match="write camera or camera:1"):
            find("camera:front")

    def test_options(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "exists", lambda path: path.as_posix() == "/dev/video1")
        found = find("camera:1", size=(1280, 720), fps=25)
        assert (found.format, found.file) == ("video4linux2", "/dev/video1")
        assert found.options == {"video_size": "1280x720", "framerate": "25"}

    def test_windows_takes_names(self) -> None:
        found = find("camera:HD Webcam", platform="win32")
        assert (found.format, found.file) == ("dshow", "video=HD Webcam")

    def test_elsewhere(self) -> None:
        with pytest.raises(SourceError, match="not available"):
            find("camera", platform="plan9")
