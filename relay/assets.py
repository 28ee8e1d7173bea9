"""The files of `relay.web`, read once and ready to be sent.

Every file there is served under its own name, except for the two pages, whose paths are
`relay.pages`' affair. Pages carry a Content-Security-Policy that allows the scripts written
in them by their hashes, so a script that somebody smuggles in does not run.
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

__all__ = ["COMMON_HEADERS", "load_assets"]

COMMON_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    # A token may be in the query.
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

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


def load_assets() -> Mapping[str, PageResponse]:
    """All files by name, with the folder where there is one: ``player/element.js``."""
    return dict(_load(resources.files("relay").joinpath("web"), ""))


def _load(folder: Traversable, prefix: str) -> Iterator[tuple[str, PageResponse]]:
    for entry in folder.iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if entry.is_dir():
            yield from _load(entry, f"{prefix}{entry.name}/")
        elif suffix in _TYPES:
            body = entry.read_bytes()
            headers = dict(COMMON_HEADERS)
            if suffix == ".html":
                headers["Content-Security-Policy"] = _policy(body)
            else:
                # Other sites embed the player as a module, which needs their leave to read it.
                headers["Access-Control-Allow-Origin"] = "*"
                headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            yield prefix + entry.name, PageResponse(200, _TYPES[suffix], body, headers)


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
