"""Rows and streams for tests of what shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bus.stream import Metadata, StreamInfo
from workers.table import Column, WorkerState, WorkerStats

__all__ = ["stream_info", "worker_stats"]


def worker_stats(columns: Mapping[str, int], state: WorkerState = WorkerState.READY) -> WorkerStats:
    """A row; columns by their names in lower case, 0 where not named."""
    values = dict.fromkeys(Column, 0)
    values.update({Column[name.upper()]: value for name, value in columns.items()})
    return WorkerStats(values, state, heartbeat_age=0.1234)


def stream_info(name: str = "cam", **changes: Any) -> StreamInfo:
    """A live stream."""
    fields: dict[str, Any] = {
        "name": name,
        "live": True,
        "metadata": Metadata("avc1.42E01E", 640, 480, 25.0, b"\0", "ws", "192.0.2.1"),
        "publisher_pid": 12,
        "epoch": 2,
        "frames": 100,
        "key_frames": 4,
        "bytes": 5000,
        "fps": 24.987,
        "bitrate": 400_000,
        "viewers": 3,
    }
    return StreamInfo(**{**fields, **changes})
