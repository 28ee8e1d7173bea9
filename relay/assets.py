"""The files of `relay.web`, read once and ready to be sent.

Every file there is served under its own name, except for the two pages, whose paths are
`relay.pages`' affair. Pages carry a Content-Security-Policy that allows the scripts written
in them by their hashes, so a script that somebody smuggles in does not run.

What has a name for good is asked for anew each time, with its ETag. The player's modules have
a second name with a hash of all of them in it: browsers keep what they get under that name, so
a reload asks for the page and for ``player.js`` only. Pages name them all, so that they come
side by side and not one import after the other.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from workers.ports import PageResponse

__all__ = ["COMMON_HEADERS", "find_asset", "load_assets"]

COMMON_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    # A token may be in the query.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_FOREVER: Final = "public, max-age=31536000, immutable"
_A_DAY: Final = "public, max-age=86400"

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
_INLINE_SCRIPT: Final = re.compile(rb"<script(?![^>]*\ssrc\s*=)[^>]*>(.*?)</script>", re.S | re.I)
_ENTRY: Final = "player.js"
_MODULES: Final = "player/"
_PRELOAD: Final = re.compile(rb'<link rel="modulepreload" href="([./]*)player\.js">')
_VERSION: Final = re.compile(r"^player-[0-9a-f]+/")


def load_assets() -> Mapping[str, PageResponse]:
    """All files by name, with the folder where there is one: ``player/element.js``.

    The player's modules are there by their lasting names as well.
    """
    files = dict(_read(resources.files("relay").joinpath("web"), ""))
    modules = {name: body for name, body in files.items() if name.startswith(_MODULES)}
    folder = f"player-{_digest(*(part for item in sorted(modules.items()) for part in item))}/"
    lasting = {folder + name.removeprefix(_MODULES): body for name, body in modules.items()}
    files[_ENTRY] = files[_ENTRY].replace(b'"./player/', b'"./' + folder.encode())
    for name in files:
        if name.endswith(".html"):
            files[name] = _PRELOAD.sub(lambda found: _preload(found, lasting), files[name])
    return {
        **{name: _response(name, body) for name, body in files.items()},
        **{name: _response(name, body, _FOREVER) for name, body in lasting.items()},
    }


def find_asset(assets: Mapping[str, PageResponse], name: str) -> PageResponse | None:
    """A file by name; the player's modules also by the lasting name of another version.

    While an upgrade rolls, a page may come from one version and what it asks for from another.
    """
    return assets.get(name) or assets.get(_VERSION.sub(_MODULES, name))


def _read(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif _suffix(entry.name) in _TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _digest(*parts: str | bytes) -> str:
    """16 hexadecimal digits that stand for these bytes."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8) + data)
    return digest.hexdigest()[:16]


def _preload(found: re.Match[bytes], names: Mapping[str, bytes]) -> bytes:
    """The page's line for ``player.js``, and one for each module that it imports."""
    up = found[1].decode()
    lines = (f'<link rel="modulepreload" href="{up}{name}">' for name in sorted(names))
    return "\n".join((found[0].decode(), *lines)).encode()


def _response(name: str, body: bytes, caching: str = "") -> PageResponse:
    suffix = _suffix(name)
    headers = {**COMMON_HEADERS, "ETag": f'"{_digest(body)}"'}
    if suffix == ".html":
        headers["Content-Security-Policy"] = _policy(body)
    else:
        # Other sites embed the player as a module, which needs their leave to read it.
        headers["Access-Control-Allow-Origin"] = "*"
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if suffix == ".svg":
        headers["Cache-Control"] = _A_DAY
    if caching:
        headers["Cache-Control"] = caching
    return PageResponse(200, _TYPES[suffix], body, headers)


def _policy(page: bytes) -> str:
    hashes = [
        "'sha256-" + base64.b64encode(hashlib.sha256(script).digest()).decode() + "'"
        for script in _INLINE_SCRIPT.findall(page)
    ]
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(["script-src 'self'", *hashes]),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "worker-src 'self' blob:",
            "connect-src 'self' ws: wss:",
            "base-uri 'none'",
            "form-action 'self'",
        )
    )
