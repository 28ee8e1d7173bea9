"""Plain HTTP over a real worker table."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bus import Publisher
from bus.errors import SegmentMissing
from bus.reclaim import reclaim
from relay.assets import load_assets
from relay.auth import AuthSettings, TokenAuthorizer, TokenRule, build_authorizer
from relay.pages import RelayPages
from workers.ports import PageRequest, PageResponse, Peer
from workers.table import Column, WorkerState, WorkerTable

OPEN = TokenAuthorizer([])


@pytest.fixture
def table(instance: str) -> Iterator[WorkerTable]:
    """A table whose second row is a ready worker."""
    table = WorkerTable.create(instance, 4, os.getpid())
    row = table.row(1)
    row[Column.PID] = 77
    row[Column.STATE] = WorkerState.READY
    yield table
    table.unlink()
    table.close()
    # The publishers' directory outlives them while the table is there.
    reclaim(instance)


@pytest.fixture
def make(instance: str, table: WorkerTable) -> Iterator[Callable[..., RelayPages]]:
    made: list[RelayPages] = []

    def make(authorizer: TokenAuthorizer = OPEN, **arguments: Any) -> RelayPages:
        made.append(RelayPages(instance, 1, authorizer, **arguments))
        return made[-1]

    yield make
    for pages in made:
        pages.close()


@pytest.fixture
def pages(make: Callable[..., RelayPages]) -> RelayPages:
    return make()


def ask(
    pages: RelayPages, path: str, token: str | None = None, **headers: str
) -> PageResponse | None:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return pages.respond(PageRequest(path, {}, fields, Peer("192.0.2.1", token)))


def get(pages: RelayPages, path: str, token: str | None = None, **headers: str) -> PageResponse:
    response = ask(pages, path, token, **headers)
    assert response is not None
    return response


class TestFiles:
    @pytest.mark.parametrize("path", ["/", "/watch/demo", "/watch/a.b-c_9"])
    def test_pages(self, pages: RelayPages, path: str) -> None:
        response = get(pages, path)
        assert response.status == 200
        assert response.content_type == "text/html; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in response.headers

    @pytest.mark.parametrize("path", ["/player.js", "/player/element.js"])
    def test_the_player_and_its_modules_can_be_embedded(self, pages: RelayPages, path: str) -> None:
        response = get(pages, path)
        assert response.content_type == "text/javascript; charset=utf-8"
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Cache-Control"] == "no-cache"
        assert b"relay-player" in response.body

    @pytest.mark.parametrize(
        "path",
        ["/nope", "/index.html", "/watch.html", "/watch", "/../config.py", "/player.js/", "//", ""],
    )
    def test_nothing_else(self, pages: RelayPages, path: str) -> None:
        assert ask(pages, path) is None

    @pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "ä", "<script>", "a" * 65])
    def test_names_that_no_stream_can_have(self, pages: RelayPages, name: str) -> None:
        response = get(pages, f"/watch/{name}")
        assert response.status == 404
        assert response.content_type == "text/plain; charset=utf-8"
        assert response.body.startswith(b"invalid stream name")

    @pytest.mark.parametrize("name", ["index.html", "watch.html"])
    def test_the_policy_allows_the_pages_own_scripts(self, name: str) -> None:
        page = load_assets()[name]
        policy = page.headers["Content-Security-Policy"]
        assert "connect-src 'self' ws: wss:" in policy
        script = re.search(r"script-src ([^;]*)", policy)
        assert script is not None
        assert "unsafe" not in script[1]
        for inline in re.findall(rb"<script(?![^>]*src=)[^>]*>(.*?)</script>", page.body, re.S):
            digest = base64.b64encode(hashlib.sha256(inline).digest()).decode()
            assert f"'sha256-{digest}'" in script[1]
        # The policy has no room for scripts in attributes.
        assert not re.search(rb"<[^>]+\son[a-z]+\s*=", page.body)


class TestCaching:
    FILES = ("/", "/watch/demo", "/player.js", "/player/element.js", "/icon.svg")

    @pytest.mark.parametrize("path", FILES)
    def test_who_has_a_file_is_not_sent_it_again(self, pages: RelayPages, path: str) -> None:
        first = get(pages, path)
        tag = first.headers["ETag"]
        assert re.fullmatch(r'"[0-9a-f]{16}"', tag)
        for known in (tag, f"W/{tag}", f'"other", {tag}'):
            again = get(pages, path, if_none_match=known)
            assert (again.status, again.body) == (304, b"")
            assert again.headers == first.headers

    @pytest.mark.parametrize("known", ['"other"', "", "ETag"])
    def test_who_has_another_one_gets_it(self, pages: RelayPages, known: str) -> None:
        assert get(pages, "/", if_none_match=known).status == 200

    def test_what_changes_has_no_tag(self, pages: RelayPages) -> None:
        for path in ("/api/streams", "/api/workers", "/metrics", "/healthz", "/readyz"):
            headers = get(pages, path).headers
            assert headers["Cache-Control"] == "no-store"
            assert "ETag" not in headers

    def test_different_files_have_different_tags(self) -> None:
        tags = {body.body: body.headers["ETag"] for body in load_assets().values()}
        assert len(set(tags.values())) == len(tags)

    def test_modules_that_the_player_imports_may_be_kept_for_good(self, pages: RelayPages) -> None:
        (name,) = re.findall(rb'from "\./(player-[0-9a-f]{16})/element\.js"', self._player(pages))
        folder = f"/{name.decode()}"
        module = get(pages, f"{folder}/element.js")
        assert module.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert module.headers["Access-Control-Allow-Origin"] == "*"
        plain = get(pages, "/player/element.js")
        assert (module.body, plain.headers["Cache-Control"]) == (plain.body, "no-cache")

    def test_lasting_names_lead_to_no_others(self, pages: RelayPages) -> None:
        """Else a page would load a module twice."""
        assert b'"./player/' not in self._player(pages)
        for name, asset in load_assets().items():
            if name.startswith("player-"):
                for path in re.findall(rb'(?:from|import\() ?"([^"]+)"', asset.body):
                    assert re.fullmatch(rb"\./[a-z0-9_]+\.js", path), name

    def test_of_another_version_there_are_the_modules_that_there_are(
        self, pages: RelayPages
    ) -> None:
        module = get(pages, "/player-0123456789abcdef/element.js")
        assert module.body == get(pages, "/player/element.js").body
        assert module.headers["Cache-Control"] == "no-cache"
        assert ask(pages, "/player-0123456789abcdef/none.js") is None
        assert ask(pages, "/player-0123456789abcdef/../player.js") is None

    @pytest.mark.parametrize(("path", "up"), [("/", ""), ("/watch/demo", "../")])
    def test_pages_name_all_that_they_import(self, pages: RelayPages, path: str, up: str) -> None:
        found = re.findall(rb'<link rel="modulepreload" href="([^"]+)">', get(pages, path).body)
        names = [name for name in load_assets() if name.startswith("player-")]
        assert [each.decode() for each in found] == [
            up + "player.js",
            *(up + n for n in sorted(names)),
        ]

    @staticmethod
    def _player(pages: RelayPages) -> bytes:
        return get(pages, "/player.js").body


class TestProbes:
    def test_alive(self, pages: RelayPages) -> None:
        assert get(pages, "/healthz").status == 200

    @pytest.mark.parametrize(
        ("state", "status", "body"),
        [
            (WorkerState.STARTING, 503, b"starting\n"),
            (WorkerState.READY, 200, b"ready\n"),
            (WorkerState.DRAINING, 503, b"draining\n"),
        ],
    )
    def test_ready(
        self, pages: RelayPages, table: WorkerTable, state: WorkerState, status: int, body: bytes
    ) -> None:
        table.row(1)[Column.STATE] = state
        response = get(pages, "/readyz")
        assert (response.status, response.body) == (status, body)
        assert response.headers["Cache-Control"] == "no-store"


class TestApi:
    def test_workers(self, pages: RelayPages) -> None:
        response = get(pages, "/api/workers")
        assert response.content_type == "application/json"
        assert [each["pid"] for each in json.loads(response.body)["workers"]] == [77]

    def test_streams(self, pages: RelayPages, instance: str) -> None:
        assert json.loads(get(pages, "/api/streams").body) == {"streams": []}
        with Publisher("cam", codec="mjpeg", width=64, height=48, instance=instance) as publisher:
            publisher.write(b"x")
            pages._seen_until = 0.0
            (stream,) = json.loads(get(pages, "/api/streams").body)["streams"]
        assert (stream["name"], stream["live"], stream["codec"]) == ("cam", True, "mjpeg")
        assert (stream["width"], stream["height"], stream["frames"]) == (64, 48, 1)
        assert stream["publisher"]["pid"] == os.getpid()

    def test_streams_that_the_asker_may_not_view_are_not_shown(
        self, make: Callable[..., RelayPages], instance: str
    ) -> None:
        rule = TokenRule("good", streams=("secret*",))
        pages = make(build_authorizer(AuthSettings(tokens=(rule,))))
        with (
            Publisher("open", codec="mjpeg", instance=instance),
            Publisher("secret1", codec="mjpeg", instance=instance),
        ):
            for token, names in ((None, ["open"]), ("good", ["open", "secret1"])):
                body = json.loads(get(pages, "/api/streams", token).body)
                assert [each["name"] for each in body["streams"]] == names
                metrics = get(pages, "/metrics", token).body
                assert (b"secret1" in metrics) is ("secret1" in names)

    def test_a_look_is_kept_for_ten_times_its_cost_and_a_second_at_most(
        self, make: Callable[..., RelayPages], instance: str
    ) -> None:
        times: list[float] = []
        pages = make(clock=lambda: times.pop(0))

        def names() -> list[str]:
            return [each["name"] for each in json.loads(get(pages, "/api/streams").body)["streams"]]

        times[:] = [100.0, 100.01]
        assert names() == []
        with Publisher("cam", codec="mjpeg", instance=instance):
            times[:] = [100.1]
            assert names() == []
            times[:] = [100.12, 110.0]
            assert names() == ["cam"]
        times[:] = [110.9]
        assert names() == ["cam"]
        times[:] = [111.0, 111.0]
        assert names() == []

    def test_metrics(self, pages: RelayPages) -> None:
        response = get(pages, "/metrics")
        assert response.content_type.startswith("text/plain; version=0.0.4")
        assert b'relay_workers{state="ready"} 1.0' in response.body


def test_without_a_table_there_are_no_pages(instance: str) -> None:
    with pytest.raises(SegmentMissing):
        RelayPages(instance, 0, OPEN)
