"""Options derived from the fields of settings dataclasses.

One field gives the flag ``--max-lag``, the variable ``RELAY_MAX_LAG`` and the key ``max_lag``
in its section of the file, with one parser and one check for all three.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from relay.errors import ConfigError

__all__ = ["Option", "options_of"]

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        section: table of the configuration file.
        name: key in that table.
        default: value when nobody sets it; its type is the option's type.
        help: one line with the unit.
        secret: whether it must stay off command lines.
        choices: the only values, when not empty.
        minimum, maximum: bounds of a number, inclusive; None: none.
        check: raises ValueError for values that are wrong in another way.
    """

    section: str
    name: str
    default: Any
    help: str
    secret: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    check: Callable[[Any], object] | None = field(default=None, repr=False)

    @property
    def type(self) -> type:
        """int, float, str or bool."""
        return type(self.default)

    @property
    def flag(self) -> str:
        """Its flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "RELAY_" + self.name.upper()

    def from_text(self, text: str, source: str) -> Any:
        """The value that a flag or a variable gives.

        Args:
            source: where it comes from, for the error.

        Raises:
            ConfigError: when it is not one.
        """
        value: Any = text
        try:
            if self.type is bool:
                value = _parse_bool(text)
            elif self.type is not str:
                value = self.type(text)
        except ValueError:
            raise self._error(source, f"must be {_KINDS[self.type]}", text) from None
        return self._checked(value, source)

    def from_toml(self, value: object, source: str) -> Any:
        """The value that the file gives, which has a type already.

        Raises:
            ConfigError: when it is of the wrong type or out of bounds.
        """
        if self.type is float and type(value) is int:
            value = float(value)
        if type(value) is not self.type:
            raise self._error(source, f"must be {_KINDS[self.type]}", value)
        return self._checked(value, source)

    def _checked(self, value: Any, source: str) -> Any:
        if self.choices and value not in self.choices:
            raise self._error(source, "must be one of " + ", ".join(self.choices), value)
        if self.type is float and not math.isfinite(value):
            raise self._error(source, "must be a number", value)
        if self.minimum is not None and value < self.minimum:
            raise self._error(source, f"must be at least {self.minimum}", value)
        if self.maximum is not None and value > self.maximum:
            raise self._error(source, f"must be at most {self.maximum}", value)
        if self.check is not None:
            try:
                self.check(value)
            except ValueError as exc:
                raise ConfigError(f"{source}: {exc}") from None
        return value

    def _error(self, source: str, problem: str, value: object) -> ConfigError:
        shown = "" if self.secret else f", not {_shortened(value)}"
        return ConfigError(f"{source} {problem}{shown}")


def _parse_bool(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(text)


def _shortened(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def options_of(section: str, settings: type) -> list[Option]:
    """The options among the fields of ``settings``, in their order."""
    found = []
    for each in fields(settings):
        if "help" in each.metadata:
            assert each.default is not MISSING
            found.append(Option(section, each.name, each.default, **each.metadata))
    return found
