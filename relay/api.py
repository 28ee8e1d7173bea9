"""The JSON of ``/api/streams`` and ``/api/workers``, as plain values.

Pure: rows and looks at streams go in, what `json.dumps` takes comes out. The field names are
fixed; fields may be added.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bus.stream import StreamInfo
from relay.viewers import Viewer
from workers.table import Column, WorkerStats

__all__ = ["streams_json", "viewer_json", "workers_json"]


def streams_json(streams: Iterable[StreamInfo]) -> dict[str, Any]:
    """Body of ``/api/streams``; unknown sizes and rates are 0, an unknown codec is empty."""
    return {"streams": [_stream(each) for each in streams]}


def _stream(info: StreamInfo) -> dict[str, Any]:
    known = info.metadata
    return {
        "name": info.name,
        "live": info.live,
        "codec": known.codec if known else "",
        "width": known.width if known else 0,
        "height": known.height if known else 0,
        "fps": round(info.fps, 2),
        "nominal_fps": known.fps if known else 0.0,
        "bitrate": info.bitrate,
        "viewers": info.viewers,
        "publisher": {
            "kind": known.kind if known else "shm",
            "pid": info.publisher_pid,
            "address": known.address if known else "",
        },
        "epoch": info.epoch,
        "frames": info.frames,
        "key_frames": info.key_frames,
        "bytes": info.bytes,
    }


def viewer_json(viewer: Viewer) -> dict[str, Any]:
    """One of ``/api/viewers``; ``since`` is Unix time, ``lag`` is in seconds."""
    row = viewer.row
    return {
        "id": str(viewer.id),
        "worker": viewer.id.slot,
        "stream": row.stream,
        "address": row.address,
        "since": round(row.since, 3),
        "lag": round(row.lag, 3),
        "skipped": {cause.value: count for cause, count in row.skipped.items()},
    }


def workers_json(rows: Iterable[WorkerStats]) -> dict[str, Any]:
    """Body of ``/api/workers``: by place, and the older first where two overlap."""
    workers = list(rows)
    engine = next((row.engine for row in workers if row.engine), "")
    return {"engine": engine, "workers": [_worker(row) for row in workers]}


def _worker(row: WorkerStats) -> dict[str, Any]:
    return {
        "slot": row[Column.SLOT],
        "pid": row[Column.PID],
        "generation": row[Column.GENERATION],
        "state": row.state.name.lower(),
        "engine": row.engine,
        "connections": row[Column.CONNECTIONS],
        "viewers": row[Column.VIEWERS],
        "publishers": row[Column.PUBLISHERS],
        "frames_sent": row[Column.FRAMES_SENT],
        "bytes_sent": row[Column.BYTES_SENT],
        "frames_in": row[Column.FRAMES_IN],
        "bytes_in": row[Column.BYTES_IN],
        "skipped": {
            "network": row[Column.SKIPPED_NETWORK],
            "decoder": row[Column.SKIPPED_DECODER],
            "hidden": row[Column.SKIPPED_HIDDEN],
            "worker": row[Column.SKIPPED_WORKER],
        },
        "cpu": row[Column.CPU_MILLI] / 1000,
        "rss": row[Column.RSS],
        "restarts": row[Column.RESTARTS],
        "heartbeat_age": round(max(row.heartbeat_age, 0.0), 3),
    }
