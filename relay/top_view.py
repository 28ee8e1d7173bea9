"""What `relay-top` shows, as tables. Knows no terminal and no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table

from bus.stream import StreamInfo
from workers.table import Column, WorkerStats

__all__ = ["Rates", "streams_table", "workers_table"]


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

    def of(self, pid: int) -> tuple[str, str]:
        """Frames and bits a second as text; a dash before the second look."""
        rates = self._rates.get(pid)
        return ("-", "-") if rates is None else (f"{rates[0]:.0f}", scaled(rates[1]))


def scaled(number: float) -> str:
    """A number with k, M or G."""
    for unit in ("", "k", "M"):
        if number < 1000:
            return f"{number:.0f}{unit}" if number >= 100 or not unit else f"{number:.1f}{unit}"
        number /= 1000
    return f"{number:.1f}G"


def workers_table(
    instance: str, supervisor_pid: int, rows: Sequence[WorkerStats], rates: Rates
) -> Table:
    """One line for each worker; skips are by network, decoder, hidden tab and worker.

    Args:
        rows: rows in use.
        rates: updated with them.
    """
    viewers = sum(row[Column.VIEWERS] for row in rows)
    engine = next((row.engine for row in rows if row.engine), "no engine yet")
    table = _table(
        f"{instance}: {_count(len(rows), 'worker')} ({engine}), {_count(viewers, 'viewer')}, "
        f"supervisor {supervisor_pid}",
        ("worker", "pid", "state"),
        ("viewers", "pubs", "fps", "bit/s", "skips n/d/h/w", "cpu", "memory", "died"),
    )
    for row in rows:
        frames, bits = rates.of(row[Column.PID])
        skips = (
            Column.SKIPPED_NETWORK,
            Column.SKIPPED_DECODER,
            Column.SKIPPED_HIDDEN,
            Column.SKIPPED_WORKER,
        )
        table.add_row(
            str(row[Column.SLOT]),
            str(row[Column.PID]),
            row.state.name.lower(),
            str(row[Column.VIEWERS]),
            str(row[Column.PUBLISHERS]),
            frames,
            bits,
            "/".join(scaled(row[column]) for column in skips),
            f"{row[Column.CPU_MILLI] / 10:.0f}%",
            scaled(row[Column.RSS]) + "B",
            str(row[Column.RESTARTS]),
        )
    return table


def streams_table(streams: Sequence[StreamInfo]) -> Table:
    """One line for each stream."""
    table = _table(
        _count(len(streams), "stream"),
        ("stream", "state", "codec", "size", "publisher"),
        ("viewers", "fps", "bit/s", "frames", "keys", "epoch"),
    )
    for each in streams:
        known = each.metadata
        where = f" {known.address}" if known and known.address else f" pid {each.publisher_pid}"
        table.add_row(
            each.name,
            "live" if each.live else "ended",
            known.codec if known else "-",
            f"{known.width}x{known.height}" if known and known.width else "-",
            (known.kind + where) if known else "-",
            str(each.viewers),
            f"{each.fps:.1f}",
            scaled(each.bitrate),
            str(each.frames),
            str(each.key_frames),
            str(each.epoch),
        )
    return table


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _table(title: str, words: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in words:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
