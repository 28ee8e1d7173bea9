"""What a viewer is called everywhere: in logs, in lists, by an operator.

``2.1.57`` is the viewer with number 57 of the first generation of worker 2, so its name also
tells which process has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["ViewerId"]

_FORM: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ViewerId:
    """See the module."""

    slot: int
    generation: int
    number: int

    def __str__(self) -> str:
        return f"{self.slot}.{self.generation}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The id, or None when that is no id."""
        found = _FORM.fullmatch(text)
        return None if found is None else cls(*map(int, found.groups()))
