"""The configuration of a relay: flags over environment over file over defaults.

`parse_and_merge` is pure; `load` reads the file for it. What can be set is defined by the
fields of the dataclasses in `Config`, one for each section, and nowhere here.
"""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

from relay.auth import AuthSettings
from relay.cluster.settings import ClusterSettings
from relay.errors import ConfigError
from relay.one_line_parser import OneLineParser
from relay.options import Option, options_of
from relay.settings import ServerSettings, SupervisionSettings
from relay.version import relay_version
from workers.settings import Limits, ViewerSettings

__all__ = ["CONFIG_VARIABLE", "OPTIONS", "Config", "load", "parse_and_merge"]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set; each field is a section of the file."""

    server: ServerSettings = field(default_factory=ServerSettings)
    limits: Limits = field(default_factory=Limits)
    viewer: ViewerSettings = field(default_factory=ViewerSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    supervision: SupervisionSettings = field(default_factory=SupervisionSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)


CONFIG_VARIABLE: Final = "RELAY_CONFIG"
SECTIONS: Final[Mapping[str, type]] = get_type_hints(Config)
OPTIONS: Final[Sequence[Option]] = [
    option for name, settings in SECTIONS.items() for option in options_of(name, settings)
]

_PREFIX: Final = "RELAY_"
_KNOWN_VARIABLES: Final = {option.variable for option in OPTIONS} | {
    CONFIG_VARIABLE,
    "RELAY_INSTANCE",
    "RELAY_TOKEN",
}
_CLOSE: Final = 0.8
_METAVARS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("file", "cert", "key", "creds", "ca"), "FILE"),
    **dict.fromkeys(("instance", "node", "name"), "NAME"),
    "host": "ADDRESS",
    "cluster": "URLS",
}
"""What a text stands for in the help, by the last word of its option's name."""
_EXAMPLES: Final = """\
Every option can also be set in the environment (--max-lag 2 is RELAY_MAX_LAG=2) and in the
configuration file, in the section named above it. Flags win over the environment, which wins
over the file. Tokens never go on the command line: use files, RELAY_PUBLISH_TOKEN and
RELAY_VIEW_TOKEN, or [[auth.tokens]] tables in the file.

Signals: SIGTERM and SIGINT stop the relay after its viewers were told to come back, a second
one stops it at once. SIGHUP reads the configuration again and replaces the workers one by one;
if only the TLS certificate is another, they take it as they are, and no viewer notices.
On Windows, Ctrl-C and Ctrl-Break stop it, and relay-reload stands in for SIGHUP.

Examples:
  relay-supervisor --demo
  relay-supervisor --workers 4 --host 0.0.0.0 --publish-token-file publish.tokens
  relay-supervisor --port 0 --instance lab --max-lag 0.5
  relay-supervisor --host 0.0.0.0 --port 443 --tls-cert relay.pem --tls-key relay.key
  relay-supervisor --config relay.toml

A configuration file:
  [server]
  workers = 4

  [viewer]
  max_lag = 1.0

  [[auth.tokens]]
  token_file = "cameras.tokens"
  streams = ["cam*"]
  allow = ["publish"]
"""


def load(argv: Sequence[str], env: Mapping[str, str]) -> Config:
    """Read the file that ``argv`` or ``env`` name, if any, and merge.

    Raises:
        ConfigError: one line that says what is wrong where.
        SystemExit: for ``--help``, and for flags that do not exist.
    """
    path = _parser().parse_args(argv).config or env.get(CONFIG_VARIABLE)
    if not path:
        return parse_and_merge(argv, env, "")
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigError(f"configuration file {path!r} cannot be read: {reason}") from None
    return parse_and_merge(argv, env, text)


def parse_and_merge(argv: Sequence[str], env: Mapping[str, str], toml_text: str) -> Config:
    """Make the configuration.

    Args:
        argv: command line without the program's name.
        env: environment; empty variables count as absent.
        toml_text: the configuration file, may be empty.

    Raises:
        ConfigError: one line that says what is wrong where.
        SystemExit: for ``--help``, and for flags that do not exist.
    """
    values = _from_file(toml_text)
    values.update(_from_environment(env))
    values.update(_from_flags(argv))
    sections = {
        name: settings(
            **{key: value for (section, key), value in values.items() if section == name}
        )
        for name, settings in SECTIONS.items()
    }
    return Config(**sections)


_Values = dict[tuple[str, str], Any]


def _from_flags(argv: Sequence[str]) -> _Values:
    given = vars(_parser().parse_args(argv))
    values: _Values = {}
    for option in OPTIONS:
        value = given.get(option.name)
        if isinstance(value, str):
            value = option.from_text(value, option.flag)
        if value is not None:
            values[option.section, option.name] = value
    return values


def _from_environment(env: Mapping[str, str]) -> _Values:
    for name in env:
        if name.startswith(_PREFIX) and name not in _KNOWN_VARIABLES:
            near = _nearest(name, _KNOWN_VARIABLES)
            if near is not None:
                raise ConfigError(f"environment variable {name} is unknown; did you mean {near}?")
    values: _Values = {}
    for option in OPTIONS:
        text = env.get(option.variable, "")
        # Kubernetes sets RELAY_PORT=tcp://… in every pod beside a service named "relay".
        if text and not (option.name == "port" and "://" in text):
            values[option.section, option.name] = option.from_text(text, option.variable)
    return values


def _from_file(text: str) -> _Values:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"configuration file: {exc}") from None
    values: _Values = {}
    for section, table in document.items():
        if section not in SECTIONS:
            raise ConfigError(f"configuration file: {_unknown_section(section)}")
        if not isinstance(table, dict):
            raise ConfigError(f"configuration file: {section} must be a section: [{section}]")
        options = {option.name: option for option in OPTIONS if option.section == section}
        # Fields that are no single value bring their own parser.
        parsers: dict[str, Callable[[object], Any]] = {
            each.name: each.metadata["parse"]
            for each in fields(SECTIONS[section])
            if "parse" in each.metadata
        }
        for key, value in table.items():
            source = f"configuration file: [{section}] {key}"
            if key in options:
                values[section, key] = options[key].from_toml(value, source)
            elif key in parsers:
                try:
                    values[section, key] = parsers[key](value)
                except ValueError as exc:
                    raise ConfigError(f"{source} {exc}") from None
            else:
                known = [*options, *parsers]
                raise ConfigError(f"{source} is unknown{_elsewhere(section, key, known)}")
    return values


def _unknown_section(name: str) -> str:
    for option in OPTIONS:
        if option.name == name:
            return f"{name} belongs in section [{option.section}]"
    near = _nearest(name, SECTIONS) or ", ".join(SECTIONS)
    return f"section [{name}] is unknown; did you mean {near}?"


def _elsewhere(section: str, key: str, names: Iterable[str]) -> str:
    for option in OPTIONS:
        if option.name == key:
            return f" there; it belongs in section [{option.section}]"
    near = _nearest(key, names)
    if near is not None:
        return f"; did you mean {near}?"
    for option in OPTIONS:
        if _nearest(key, [option.name]):
            return f"; did you mean {option.name} in section [{option.section}]?"
    return f"; section [{section}] has {', '.join(names)}"


def _nearest(name: str, names: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=_CLOSE)
    return found[0] if found else None


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="relay-supervisor",
        usage="%(prog)s [--workers N] [--host ADDRESS] [--port N] [--config FILE] [option ...]",
        description="Serve live streams to browsers from several worker processes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {relay_version()}")
    parser.add_argument("--config", metavar="FILE", help="configuration file in TOML")
    groups = {name: parser.add_argument_group(f"section [{name}]") for name in SECTIONS}
    for option in OPTIONS:
        if option.secret:
            continue
        group = groups[option.section]
        text = _help(option).replace("%", "%%")
        if option.type is bool:
            group.add_argument(
                option.flag, default=None, action=argparse.BooleanOptionalAction, help=text
            )
        else:
            # Texts are parsed and checked later, as those of the environment are.
            group.add_argument(option.flag, metavar=_metavar(option), help=text)
    return parser


def _metavar(option: Option) -> str:
    if option.choices:
        return "{" + ",".join(option.choices) + "}"
    if option.type in (int, float):
        return "N"
    return _METAVARS.get(option.name.rpartition("_")[2], option.name.upper())


def _help(option: Option) -> str:
    if option.type is bool or option.default == "" or "default:" in option.help:
        return option.help
    return f"{option.help} (default: {option.default})"
