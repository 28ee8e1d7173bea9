"""Options: one definition, three places to set it, one line for each mistake."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import OPTIONS, SECTIONS, Config, load, parse_and_merge
from relay.errors import ConfigError
from relay.options import Option
from workers.ports import Action


class TestDefinitions:
    def test_names_are_unique_over_all_sections(self) -> None:
        names = [option.name for option in OPTIONS]
        assert len(names) == len(set(names))

    def test_every_field_is_an_option_or_has_a_parser(self) -> None:
        for settings in SECTIONS.values():
            for field in dataclasses.fields(settings):
                assert "help" in field.metadata or "parse" in field.metadata, field.name

    @pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
    def test_defaults_pass_their_own_checks(self, option: Option) -> None:
        assert option.from_toml(option.default, "default") == option.default

    def test_nothing_set_gives_the_defaults(self) -> None:
        assert parse_and_merge([], {}, "") == Config()


class TestPrecedence:
    FILE = "[viewer]\nmax_lag = 1.5\n[server]\nport = 1\nhost = '::1'\n"

    def test_flag_over_environment_over_file_over_default(self) -> None:
        env = {"RELAY_MAX_LAG": "2.5", "RELAY_PORT": "2"}
        config = parse_and_merge(["--max-lag", "3.5"], env, self.FILE)
        assert config.viewer.max_lag == 3.5
        assert config.server.port == 2
        assert config.server.host == "::1"
        assert config.limits.max_viewers == Config().limits.max_viewers

    def test_a_flag_of_false_wins_over_a_file_of_true(self) -> None:
        assert not parse_and_merge(["--no-demo"], {}, "[server]\ndemo = true").server.demo

    def test_an_empty_variable_counts_as_absent(self) -> None:
        assert parse_and_merge([], {"RELAY_PORT": ""}, self.FILE).server.port == 1

    @pytest.mark.parametrize(
        ("text", "value"),
        [("1", True), ("Yes", True), ("on", True), ("0", False), ("FALSE", False)],
    )
    def test_truth_in_the_environment(self, text: str, value: bool) -> None:
        assert parse_and_merge([], {"RELAY_DEMO": text}, "").server.demo is value

    def test_a_whole_number_is_a_number(self) -> None:
        lag = parse_and_merge([], {}, "[viewer]\nmax_lag = 2").viewer.max_lag
        assert (lag, type(lag)) == (2.0, float)


class TestMistakes:
    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            (["--port", "x"], "--port must be a whole number, not 'x'"),
            (["--port", "70000"], "--port must be at most 65535, not 70000"),
            (["--workers", "0"], "--workers must be at least 1, not 0"),
            (["--max-lag", "0.01"], "--max-lag must be at least 0.05, not 0.01"),
            (["--max-lag", "nan"], "--max-lag must be a number, not nan"),
            (["--engine", "epoll"], "--engine must be one of auto, uring, asyncio, not 'epoll'"),
            (["--instance", "a/b"], "--instance: invalid instance name 'a/b': use 1 to 64"),
            (["--host", ""], "--host: must name an address"),
        ],
    )
    def test_in_flags(self, argv: list[str], message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_and_merge(argv, {}, "")
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("argv", [["--max-la", "1"], ["--nonsense"], ["stray"]])
    def test_flags_that_do_not_exist(
        self, argv: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            parse_and_merge(argv, {}, "")
        assert caught.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1

    @pytest.mark.parametrize(
        ("env", "message"),
        [
            ({"RELAY_DEMO": "maybe"}, "RELAY_DEMO must be true or false, not 'maybe'"),
            ({"RELAY_PORT": "1.5"}, "RELAY_PORT must be a whole number, not '1.5'"),
            (
                {"RELAY_MAXLAG": "1"},
                "environment variable RELAY_MAXLAG is unknown; did you mean RELAY_MAX_LAG?",
            ),
            (
                {"RELAY_WORKER": "1"},
                "environment variable RELAY_WORKER is unknown; did you mean RELAY_WORKERS?",
            ),
        ],
    )
    def test_in_the_environment(self, env: dict[str, str], message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_and_merge([], env, "")
        assert str(caught.value) == message

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("RELAY_INSTANCE", "lab"),
            ("RELAY_TOKEN", "secret"),
            ("RELAY_CONFIG", "relay.toml"),
            ("RELAY_PORT", "tcp://10.0.0.1:8765"),
            ("RELAY_PORT_8765_TCP_ADDR", "10.0.0.1"),
            ("RELAY_SERVICE_HOST", "10.0.0.1"),
            ("RELAY_SERVICE_PORT", "8765"),
            ("RELAYED", "x"),
            ("RELAY_OF_ANOTHER_KIND", "x"),
        ],
    )
    def test_variables_of_others_are_left_alone(self, name: str, value: str) -> None:
        config = parse_and_merge([], {name: value}, "")
        assert config.server.port == Config().server.port

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[viewer", "configuration file: Expected ']'"),
            ("[viewers]", "configuration file: section [viewers] is unknown; did you mean viewer?"),
            ("port = 1", "configuration file: port belongs in section [server]"),
            ("viewer = 1", "configuration file: viewer must be a section: [viewer]"),
            (
                "[viewer]\nmaxlag = 1",
                "configuration file: [viewer] maxlag is unknown; did you mean max_lag?",
            ),
            (
                "[server]\nmax_lag = 1",
                "configuration file: [server] max_lag is unknown there; "
                "it belongs in section [viewer]",
            ),
            (
                "[server]\nmaxlag = 1",
                "configuration file: [server] maxlag is unknown; "
                "did you mean max_lag in section [viewer]?",
            ),
            ("[server]\nx = 1", "configuration file: [server] x is unknown; section [server] has"),
            (
                "[server]\nport = '1'",
                "configuration file: [server] port must be a whole number, not '1'",
            ),
            (
                "[server]\nport = true",
                "configuration file: [server] port must be a whole number, not True",
            ),
            ("[server]\nport = 1.5", "configuration file: [server] port must be a whole number"),
            ("[viewer]\nmax_lag = inf", "configuration file: [viewer] max_lag must be a number"),
            ("[auth]\ntokens = 1", "configuration file: [auth] tokens must be tables"),
            (
                "[[auth.tokens]]\nstreams = ['*']",
                "configuration file: [auth] tokens number 1 needs either token or token_file",
            ),
            (
                "[[auth.tokens]]\ntoken = 'a'\nstream = 'x'",
                "configuration file: [auth] tokens number 1 has an unknown key 'stream'",
            ),
            (
                "[[auth.tokens]]\ntoken = 'a'\nstreams = 'x'",
                "configuration file: [auth] tokens number 1: streams must be a list of texts",
            ),
            (
                "[[auth.tokens]]\ntoken = 'a'\nallow = ['see']",
                'configuration file: [auth] tokens number 1: allow takes "view" and "publish"',
            ),
        ],
    )
    def test_in_the_file(self, text: str, message: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse_and_merge([], {}, text)
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)

    @given(st.text())
    def test_a_file_is_read_or_refused(self, text: str) -> None:
        try:
            parse_and_merge([], {}, text)
        except ConfigError as exc:
            assert str(exc)

    def test_secrets_have_no_flag_and_are_not_repeated(self) -> None:
        with pytest.raises(SystemExit):
            parse_and_merge(["--publish-token", "hush"], {}, "")
        with pytest.raises(ConfigError) as caught:
            parse_and_merge([], {}, "[auth]\nview_token = 12345")
        assert "12345" not in str(caught.value)
        config = parse_and_merge(
            [], {"RELAY_VIEW_TOKEN": "hush"}, "[[auth.tokens]]\ntoken = 'quiet'"
        )
        assert "hush" not in repr(config)
        assert "quiet" not in repr(config)


class TestTokens:
    def test_tables_become_rules(self) -> None:
        rules = parse_and_merge(
            [],
            {},
            "[[auth.tokens]]\ntoken = 'a'\nstreams = ['cam*']\nallow = ['view']\n"
            "[[auth.tokens]]\ntoken_file = 'b'\n",
        ).auth.tokens
        assert [(rule.token, rule.token_file, rule.streams) for rule in rules] == [
            ("a", "", ("cam*",)),
            ("", "b", ("*",)),
        ]
        assert rules[0].allow == {Action.VIEW}
        assert rules[1].allow == set(Action)


class TestLoad:
    def test_reads_the_named_file(self, tmp_path: Path) -> None:
        file = tmp_path / "relay.toml"
        file.write_text("[server]\nport = 7")
        assert load(["--config", str(file)], {}).server.port == 7
        assert load([], {"RELAY_CONFIG": str(file)}).server.port == 7
        assert load([], {}).server.port == Config().server.port

    def test_says_why_a_file_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"none\.toml' cannot be read: No such file"):
            load(["--config", str(tmp_path / "none.toml")], {})
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigError, match="it is not UTF-8"):
            load(["--config", str(tmp_path / "binary")], {})

    def test_help_names_every_flag_and_shows_examples(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            load(["--help"], {})
        assert caught.value.code == 0
        text = capsys.readouterr().out
        for option in OPTIONS:
            assert bool(re.search(rf"^  {option.flag}[ ,]", text, re.M)) is not option.secret
        assert "Examples:" in text
