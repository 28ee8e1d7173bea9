"""What a SOURCE on the command line means: file, URL, screen or camera.

`locate` is pure apart from looking whether a file exists; it opens nothing. Platforms
differ only here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from relay.publish.errors import SourceError

__all__ = ["Kind", "Location", "locate"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C: is a drive
_CHOICES = "SOURCE is demo, screen, camera[:N], a file, or a URL"
_SCREEN_FPS = 30.0


class Kind(Enum):
    """How a source behaves in time."""

    FILE = "file"  # ends; may be repeated
    URL = "url"  # either; known after opening
    DEVICE = "device"  # never ends; frames come when they come


@dataclass(frozen=True, slots=True)
class Location:
    """How FFmpeg opens a source.

    Attributes:
        title: how to name it to people; holds no credentials.
        file: FFmpeg's file name or URL.
        kind: how it behaves.
        format: FFmpeg's name of the input format, None to detect it.
        options: FFmpeg's options of that format.
        hint: what to do when it cannot be opened.
    """

    title: str
    file: str = field(repr=False)
    kind: Kind
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""


def locate(
    source: str,
    *,
    environment: Mapping[str, str],
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    platform: str = sys.platform,
) -> Location:
    """Resolve ``source``.

    Args:
        source: as given by the user; not ``demo``.
        environment: for ``$DISPLAY``.
        size: picture size to ask a camera for.
        fps: frame rate to ask a device for.
        platform: as `sys.platform`.

    Raises:
        SourceError: when it is nothing that could be opened.
    """
    if not source:
        raise SourceError("SOURCE is empty; name demo, screen, camera[:N], a file, or a URL")
    word, _, rest = source.partition(":")
    if word == "screen":
        return _screen(source, rest, environment, fps, platform)
    if word == "camera":
        return _camera(source, rest, size, fps, platform)
    if _SCHEME.match(source) and not source.startswith("file:"):
        return Location(
            title=_without_secrets(source),
            file=source,
            kind=Kind.URL,
            # Video over UDP loses packets on the first busy switch; most cameras speak TCP.
            options={"rtsp_flags": "prefer_tcp"} if word in ("rtsp", "rtsps") else {},
        )
    path = Path(source.removeprefix("file:"))
    if path.is_dir():
        raise SourceError(f"{source!r} is a folder; give one video file")
    if not path.exists():
        raise SourceError(f"there is no file {source!r}; {_CHOICES}")
    # "file:" keeps FFmpeg from reading a colon in the name as a protocol.
    return Location(title=path.name, file=f"file:{path}", kind=Kind.FILE)


def _screen(
    source: str, rest: str, environment: Mapping[str, str], fps: float | None, platform: str
) -> Location:
    options = {"framerate": f"{fps or _SCREEN_FPS:g}", "draw_mouse": "1"}
    if platform == "win32":
        return Location(source, rest or "desktop", Kind.DEVICE, "gdigrab", options)
    if not platform.startswith("linux"):
        raise SourceError(f"screen capture is not available on {platform}; publish a file or URL")
    if rest and re.fullmatch(r"\d+(\.\d+)?", rest) is None:
        raise SourceError(f"{source!r} names no display; write screen, screen:0 or screen:0.1")
    display = f":{rest}" if rest else environment.get("DISPLAY", "")
    if not display:
        wayland = " (a Wayland session without X11 cannot be captured)"
        raise SourceError(
            "screen: $DISPLAY is not set"
            + (wayland if environment.get("WAYLAND_DISPLAY") else "")
            + "; run inside the desktop session, or name the display: screen:0"
        )
    hint = f"is there an X server on display {display}, and may you use it?"
    return Location(source, display, Kind.DEVICE, "x11grab", options, hint)


def _camera(
    source: str, rest: str, size: tuple[int, int] | None, fps: float | None, platform: str
) -> Location:
    options = {}
    if size:
        options["video_size"] = f"{size[0]}x{size[1]}"
    if fps:
        options["framerate"] = f"{fps:g}"
    if platform == "win32":
        if rest and not rest.isdecimal():
            return Location(source, f"video={rest}", Kind.DEVICE, "dshow", options)
        name = _directshow_camera(source, int(rest or 0))
        return Location(source, f"video={name}", Kind.DEVICE, "dshow", options)
    if not platform.startswith("linux"):
        raise SourceError(f"camera capture is not available on {platform}; publish a file or URL")
    if rest and not rest.isdecimal():
        raise SourceError(f"{source!r} names no camera; write camera or camera:1")
    device = f"/dev/video{int(rest or 0)}"
    if not Path(device).exists():
        raise SourceError(f"{source}: there is no {device}; plug a camera in or try camera:1")
    hint = "may you read the device (group video), and is no other program using it?"
    return Location(source, device, Kind.DEVICE, "video4linux2", options, hint)


def _directshow_camera(source: str, index: int) -> str:
    """DirectShow knows cameras by name only; the list is asked of PyAV when one is wanted."""
    from av.device import enumerate_input_devices

    found = [
        device.name
        for device in enumerate_input_devices("dshow")
        if not device.media_types or "video" in device.media_types
    ]
    if index >= len(found):
        raise SourceError(f"{source}: there are {len(found)} cameras; plug one in")
    return found[index]


def _without_secrets(url: str) -> str:
    """The URL as far as a status line or a log may show it."""
    bare = url.split("?", 1)[0].split("#", 1)[0]
    scheme, mark, rest = bare.partition("://")
    if not mark:
        return bare
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
