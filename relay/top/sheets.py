"""What `relay-top` shows, as plain rows. Knows no terminal and no clock.

A sheet fits into 80 columns. Each line has a key (what an action is about), the texts of its
cells, and the values that it is sorted by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.table import Table

from bus.stream import StreamInfo
from relay.viewers import Viewer
from workers.table import Column, WorkerStats

__all__ = [
    "Line",
    "Rates",
    "Sheet",
    "Sheets",
    "as_table",
    "scaled",
    "streams_sheet",
    "viewers_sheet",
    "workers_sheet",
]

_STREAM_WIDTH: Final = 15
_ADDRESS_WIDTH: Final = 15
_SKIPS: Final = (
    Column.SKIPPED_NETWORK,
    Column.SKIPPED_DECODER,
    Column.SKIPPED_HIDDEN,
    Column.SKIPPED_WORKER,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a sheet."""

    key: str
    cells: tuple[str, ...]
    order: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table.

    Attributes:
        title: what it says above.
        words, numbers: names of its columns; those of numbers come last and are flush right.
        lines: unsorted.
    """

    title: str
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All names of columns."""
        return (*self.words, *self.numbers)

    def arranged(self, column: int, *, reverse: bool, wanted: str = "") -> list[Line]:
        """Lines with ``wanted`` in a cell, sorted by a column."""
        needle = wanted.lower()
        lines = [line for line in self.lines if any(needle in cell.lower() for cell in line.cells)]
        lines.sort(key=lambda line: line.order[column], reverse=reverse)
        return lines


Sheets = tuple[Sheet, Sheet, Sheet]
"""Workers, streams, viewers."""


class Rates:
    """Frames and bits a second of each worker, from two looks at its counters."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[float, int, int]] = {}
        self._rates: dict[int, tuple[float, float]] = {}

    def update(self, rows: Iterable[WorkerStats], now: float) -> None:
        """Take another look.

        Args:
            now: monotonic seconds.
        """
        seen = {
            row[Column.PID]: (now, row[Column.FRAMES_SENT], row[Column.BYTES_SENT]) for row in rows
        }
        self._rates = {}
        for pid, (_, frames, size) in seen.items():
            then, frames_then, size_then = self._before.get(pid, (now, frames, size))
            if now > then:
                passed = now - then
                self._rates[pid] = (
                    (frames - frames_then) / passed,
                    (size - size_then) * 8 / passed,
                )
        self._before = seen

    def of(self, pid: int) -> tuple[float, float] | None:
        """Frames and bits a second; None before the second look."""
        return self._rates.get(pid)


def scaled(number: float) -> str:
    """A number with k, M or G."""
    for unit in ("", "k", "M"):
        if number < 1000:
            return f"{number:.0f}{unit}" if number >= 100 or not unit else f"{number:.1f}{unit}"
        number /= 1000
    return f"{number:.1f}G"


def lasting(seconds: float) -> str:
    """A time that has passed, in two units at most."""
    if seconds < 100:
        return f"{max(seconds, 0):.0f}s"
    minutes = seconds / 60
    if minutes < 100:
        return f"{minutes:.0f}m"
    hours = minutes / 60
    return f"{hours:.0f}h" if hours < 100 else f"{hours / 24:.0f}d"


def workers_sheet(
    instance: str, supervisor_pid: int, rows: Sequence[WorkerStats], rates: Rates
) -> Sheet:
    """One line for each worker; skips are by network, decoder, hidden tab and worker.

    Args:
        rows: rows in use.
        rates: updated with them.
    """
    viewers = sum(row[Column.VIEWERS] for row in rows)
    engine = next((row.engine for row in rows if row.engine), "no engine yet")
    return Sheet(
        f"{instance}: {_count(len(rows), 'worker')} ({engine}), {_count(viewers, 'viewer')}, "
        f"supervisor {supervisor_pid}",
        ("#", "pid", "state"),
        ("viewers", "pubs", "fps", "bit/s", "skips n/d/h/w", "cpu", "memory", "died"),
        tuple(_worker(row, rates) for row in rows),
    )


def _worker(row: WorkerStats, rates: Rates) -> Line:
    slot, pid, cpu = row[Column.SLOT], row[Column.PID], row[Column.CPU_MILLI] / 10
    speed = rates.of(pid)
    fps, bits = ("-", "-") if speed is None else (f"{speed[0]:.0f}", scaled(speed[1]))
    skips = [row[column] for column in _SKIPS]
    numbers = [row[column] for column in (Column.VIEWERS, Column.PUBLISHERS)]
    state = row.state.name.lower()
    return Line(
        str(slot),
        (
            *(str(slot), str(pid), state, *map(str, numbers), fps, bits),
            "/".join(map(scaled, skips)),
            *(f"{cpu:.0f}%", scaled(row[Column.RSS]) + "B", str(row[Column.RESTARTS])),
        ),
        (
            *(slot, pid, state, *numbers, *(speed or (0.0, 0.0)), sum(skips)),
            *(cpu, row[Column.RSS], row[Column.RESTARTS]),
        ),
    )


def streams_sheet(streams: Sequence[StreamInfo]) -> Sheet:
    """One line for each stream."""
    return Sheet(
        _count(len(streams), "stream"),
        ("stream", "state", "codec", "size", "publisher"),
        ("viewers", "fps", "bit/s", "keys", "epoch"),
        tuple(_stream(each) for each in streams),
    )


def _stream(info: StreamInfo) -> Line:
    known = info.metadata
    where = known.address if known and known.address else f"pid {info.publisher_pid}"
    words = (
        info.name,
        "live" if info.live else "ended",
        known.codec if known else "-",
        f"{known.width}x{known.height}" if known and known.width else "-",
        f"{known.kind} {where}" if known else "-",
    )
    numbers = (info.viewers, info.fps, info.bitrate, info.key_frames, info.epoch)
    return Line(
        info.name,
        (
            *(_cut(words[0], _STREAM_WIDTH), *words[1:], str(info.viewers), f"{info.fps:.1f}"),
            *(scaled(info.bitrate), str(info.key_frames), str(info.epoch)),
        ),
        (*words, *numbers),
    )


def viewers_sheet(viewers: Sequence[Viewer], now: float) -> Sheet:
    """One line for each viewer; skips are by network, decoder, hidden tab and worker.

    Args:
        now: Unix time in seconds.
    """
    return Sheet(
        _count(len(viewers), "viewer"),
        ("viewer", "stream", "address"),
        ("watches", "lag ms", "net", "dec", "hid", "work"),
        tuple(_viewer(each, now) for each in viewers),
    )


def _viewer(viewer: Viewer, now: float) -> Line:
    row, name = viewer.row, str(viewer.id)
    skips = tuple(row.skipped.values())
    place = (viewer.id.slot, viewer.id.generation, viewer.id.number)
    return Line(
        name,
        (
            *(name, _cut(row.stream, _STREAM_WIDTH), _cut(row.address, _ADDRESS_WIDTH)),
            *(lasting(now - row.since), f"{row.lag * 1000:.0f}", *map(scaled, skips)),
        ),
        (place, row.stream, row.address, now - row.since, row.lag, *skips),
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_table(sheet: Sheet) -> Table:
    """A sheet for printing."""
    table = Table(title=sheet.title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in sheet.words:
        table.add_column(name, no_wrap=True)
    for name in sheet.numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for line in sheet.lines:
        table.add_row(*line.cells)
    return table
