"""Who may view and publish."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from relay.auth import AuthSettings, TokenAuthorizer, TokenRule, build_authorizer
from relay.errors import AuthError
from workers.ports import Action, Peer

VIEW, PUBLISH = Action.VIEW, Action.PUBLISH
LOCAL, REMOTE = "127.0.0.1", "192.0.2.7"


def authorizer(*rules: TokenRule, **settings: str) -> TokenAuthorizer:
    return build_authorizer(AuthSettings(tokens=rules, **settings))


class TestWithoutTokens:
    @pytest.mark.parametrize("address", [LOCAL, REMOTE])
    def test_viewing_is_open(self, address: str) -> None:
        assert authorizer().refusal(VIEW, "cam", Peer(address)) is None

    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "::1%lo"]
    )
    def test_publishing_is_open_to_this_host(self, address: str) -> None:
        assert authorizer().refusal(PUBLISH, "cam", Peer(address)) is None

    @pytest.mark.parametrize(
        "address", ["192.0.2.7", "10.0.0.1", "0.0.0.0", "2001:db8::1", "::ffff:192.0.2.7", "", "x"]
    )
    def test_publishing_is_closed_to_others(self, address: str) -> None:
        refusal = authorizer().refusal(PUBLISH, "cam", Peer(address))
        assert refusal == "publishing from another host needs a token, and none is configured here"

    @pytest.mark.parametrize(
        "address", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765", "LOCALHOST:8765", "127.0.0.1"]
    )
    def test_own_pages_may_publish(self, address: str) -> None:
        peer = Peer(LOCAL, origin=f"http://{address}", host=address)
        assert authorizer().refusal(PUBLISH, "cam", peer) is None

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("https://evil.example", "127.0.0.1:8765"),
            ("http://127.0.0.1:9000", "127.0.0.1:8765"),
            ("http://localhost:8765", "127.0.0.1:8765"),
            # A name that its owner has rebound to this host.
            ("http://evil.example:8765", "evil.example:8765"),
            ("http://192.0.2.7:8765", "192.0.2.7:8765"),
            ("null", "127.0.0.1:8765"),
            ("", ""),
            ("null", None),
            ("http://[", "["),
        ],
    )
    def test_pages_of_others_may_not(self, origin: str, host: str | None) -> None:
        refusal = authorizer().refusal(PUBLISH, "cam", Peer(LOCAL, origin=origin, host=host))
        assert refusal == "a page of another site may not publish without a token"


class TestWithTokens:
    def test_a_publish_token_is_asked_of_everybody(self) -> None:
        auth = authorizer(publish_token="good")
        assert auth.refusal(PUBLISH, "cam", Peer(REMOTE, "good")) is None
        assert (
            auth.refusal(PUBLISH, "cam", Peer(LOCAL)) == "a token is needed to publish this stream"
        )
        assert auth.refusal(PUBLISH, "cam", Peer(LOCAL, "bad")) == (
            "this token may not publish this stream"
        )

    def test_a_publish_token_leaves_viewing_open(self) -> None:
        assert authorizer(publish_token="good").refusal(VIEW, "cam", Peer(REMOTE)) is None

    def test_a_view_token_closes_viewing_and_nothing_else(self) -> None:
        auth = authorizer(view_token="good")
        assert auth.refusal(VIEW, "cam", Peer(LOCAL)) is not None
        assert auth.refusal(VIEW, "cam", Peer(LOCAL, "good")) is None
        assert auth.refusal(PUBLISH, "cam", Peer(LOCAL)) is None
        assert auth.refusal(PUBLISH, "cam", Peer(REMOTE, "good")) is not None

    def test_patterns(self) -> None:
        auth = authorizer(
            TokenRule("a", streams=("cam*", "door"), allow=frozenset({VIEW})),
            TokenRule("b", streams=("cam1",), allow=frozenset({VIEW, PUBLISH})),
        )
        allowed = {
            (token, stream)
            for token in ("a", "b")
            for stream in ("cam1", "cam2", "door", "Cam1")
            if auth.refusal(VIEW, stream, Peer(REMOTE, token)) is None
        }
        # No token is about Cam1, so everybody may view it.
        assert allowed == {
            *(("a", "cam1"), ("a", "cam2"), ("a", "door"), ("b", "cam1")),
            *(("a", "Cam1"), ("b", "Cam1")),
        }
        assert auth.refusal(PUBLISH, "cam1", Peer(REMOTE, "b")) is None
        assert auth.refusal(PUBLISH, "cam1", Peer(REMOTE, "a")) is not None
        assert auth.refusal(PUBLISH, "cam2", Peer(REMOTE, "b")) is not None

    def test_strange_tokens_are_refused_quietly(self) -> None:
        auth = authorizer(view_token="good")
        for token in ("", "gööd", "\udcff", "good\n"):
            refusal = auth.refusal(VIEW, "cam", Peer(REMOTE, token))
            assert refusal == "this token may not view this stream"


class TestFiles:
    def test_one_token_in_each_line(self, tmp_path: Path) -> None:
        file = tmp_path / "tokens"
        file.write_text("# cameras\none\n\n  two  \n")
        auth = authorizer(publish_token_file=str(file))
        for token, allowed in (("one", True), ("two", True), ("# cameras", False)):
            assert (auth.refusal(PUBLISH, "cam", Peer(REMOTE, token)) is None) is allowed

    def test_mistakes_are_named_without_the_secret(self, tmp_path: Path) -> None:
        with pytest.raises(AuthError, match=r"token file '.*none' cannot be read: No such file"):
            authorizer(view_token_file=str(tmp_path / "none"))
        (tmp_path / "empty").write_text("# nothing\n")
        with pytest.raises(AuthError, match=r"'.*empty' holds no token; put one in each line"):
            authorizer(view_token_file=str(tmp_path / "empty"))
        (tmp_path / "spaced").write_text("my secret\n")
        with pytest.raises(AuthError, match="characters other than visible ASCII") as caught:
            authorizer(view_token_file=str(tmp_path / "spaced"))
        assert "my secret" not in str(caught.value)
        (tmp_path / "binary").write_bytes(b"\xff")
        with pytest.raises(AuthError, match="it is not text"):
            authorizer(view_token_file=str(tmp_path / "binary"))


class TestSecrecy:
    def test_repr_hides_secrets(self) -> None:
        rule = TokenRule("hush")
        auth = authorizer(rule, publish_token="hush", view_token="hush")
        settings = AuthSettings(publish_token="hush", tokens=(rule,))
        assert "hush" not in repr(rule) + repr(auth) + repr(settings) + repr(auth._grants)

    def test_can_be_sent_to_another_process(self) -> None:
        auth = pickle.loads(pickle.dumps(authorizer(publish_token="good")))
        assert auth.refusal(PUBLISH, "cam", Peer(REMOTE, "good")) is None
        assert auth.refusal(PUBLISH, "cam", Peer(REMOTE, "bad")) is not None
