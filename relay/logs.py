"""Log lines on standard error, for people or for machines, and never a flood of them.

A line's fields are those of the objects that it names: what has a `log_fields` (a
connection, a worker) puts the ids of its stream, its worker, its viewer into the line. In
text they are what the words say; in JSON they are fields of their own.

A reload storm or a bad peer makes the same kind of line again and again. Of each kind a few
pass, and the next that passes tells how many did not. A kind is a place in the code. The
supervisor, whom no stranger can reach, writes every line.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, runtime_checkable

__all__ = ["FORMATS", "Loggable", "RateLimit", "configure"]

FORMATS: Final = ("text", "json")
_BURST: Final = 20.0
"""Lines of one kind that pass at once."""
_PER_SECOND: Final = 1.0
"""Lines of one kind that pass in the long run."""


@runtime_checkable
class Loggable(Protocol):
    """Something that lines are about."""

    @property
    def log_fields(self) -> Mapping[str, Any]:
        """Names and values for the line; values are texts or numbers, never secrets."""


class RateLimit(logging.Filter):
    """Lets few lines of one kind pass, and counts the others."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        # By kind: allowance, when it was reckoned, lines held back since the last that passed.
        self._kinds: dict[tuple[str, int], tuple[float, float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line passes; one that does carries the count as ``suppressed``."""
        now = self._clock()
        kind = (record.pathname, record.lineno)
        allowance, since, held = self._kinds.get(kind, (_BURST, now, 0))
        allowance = min(_BURST, allowance + (now - since) * _PER_SECOND)
        passes = allowance >= 1.0
        if passes:
            record.suppressed = held
            self._kinds[kind] = (allowance - 1.0, now, 0)
        else:
            self._kinds[kind] = (allowance, now, held + 1)
        return passes


class _TextFormatter(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__(
            f"%(asctime)s.%(msecs)03d %(levelname)-7s {process}[%(process)d] %(message)s",
            datefmt="%Y-%m-%d %H:%M:%S",
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        held = getattr(record, "suppressed", 0)
        line = super().formatMessage(record)
        return f"{line} ({held} more like this were not logged)" if held else line


class _JsonFormatter(logging.Formatter):
    def __init__(self, process: str, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._fixed = {"process": process, **fields}

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            **self._fixed,
            "pid": record.process,
            "logger": record.name,
        }
        if isinstance(record.args, tuple):
            for named in record.args:
                if isinstance(named, Loggable):
                    line.update(named.log_fields)
        line["message"] = record.getMessage()
        if held := getattr(record, "suppressed", 0):
            line["suppressed"] = held
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(
    level: str, process: str, style: str = "text", *, limited: bool = False, **fields: Any
) -> None:
    """Send all log messages of this process to standard error.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        process: what lines of this process are marked with, for example ``worker-2``.
        style: one of `FORMATS`.
        limited: whether strangers can make this process write lines; see `RateLimit`.
        **fields: of every line, where lines have fields.
    """
    handler = logging.StreamHandler(sys.stderr)
    json_wanted = style == "json"
    handler.setFormatter(
        _JsonFormatter(process, fields) if json_wanted else _TextFormatter(process)
    )
    if limited:
        handler.addFilter(RateLimit())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The loop's own remarks (slow callbacks, selectors) are for its developers.
    logging.getLogger("asyncio").setLevel(logging.WARNING)
