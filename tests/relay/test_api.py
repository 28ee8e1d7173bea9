"""The JSON of the API: names that others rely on."""

from __future__ import annotations

from relay.api import streams_json, workers_json
from tests.relay.factories import stream_info, worker_stats
from workers.table import WorkerState


def test_a_stream() -> None:
    assert streams_json([stream_info()]) == {
        "streams": [
            {
                "name": "cam",
                "live": True,
                "codec": "avc1.42E01E",
                "width": 640,
                "height": 480,
                "fps": 24.99,
                "nominal_fps": 25.0,
                "bitrate": 400_000,
                "viewers": 3,
                "publisher": {"kind": "ws", "pid": 12, "address": "192.0.2.1"},
                "epoch": 2,
                "frames": 100,
                "key_frames": 4,
                "bytes": 5000,
            }
        ]
    }


def test_a_stream_whose_publisher_has_said_nothing_yet() -> None:
    stream = streams_json([stream_info(metadata=None)])["streams"][0]
    assert (stream["codec"], stream["width"], stream["height"]) == ("", 0, 0)
    assert stream["publisher"] == {"kind": "shm", "pid": 12, "address": ""}


def test_a_worker() -> None:
    columns = {
        **{"slot": 1, "pid": 7, "generation": 2, "restarts": 1, "engine": 1, "viewers": 5},
        **{"publishers": 1, "frames_sent": 10, "bytes_sent": 20, "frames_in": 30, "bytes_in": 40},
        **{"skipped_network": 1, "skipped_decoder": 2, "skipped_hidden": 3, "skipped_worker": 4},
        **{"cpu_milli": 1250, "rss": 4096, "connections": 6},
    }
    row = worker_stats(columns, WorkerState.DRAINING)
    assert workers_json([row]) == {
        "engine": "asyncio",
        "workers": [
            {
                "slot": 1,
                "pid": 7,
                "generation": 2,
                "state": "draining",
                "engine": "asyncio",
                "connections": 6,
                "viewers": 5,
                "publishers": 1,
                "frames_sent": 10,
                "bytes_sent": 20,
                "frames_in": 30,
                "bytes_in": 40,
                "skipped": {"network": 1, "decoder": 2, "hidden": 3, "worker": 4},
                "cpu": 1.25,
                "rss": 4096,
                "restarts": 1,
                "heartbeat_age": 0.123,
            }
        ],
    }


def test_nobody() -> None:
    assert workers_json([]) == {"engine": "", "workers": []}
    assert streams_json([]) == {"streams": []}
