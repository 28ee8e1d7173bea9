"""The relay's numbers in the Prometheus text format.

Any worker answers for the whole relay, so the labels are the place of a worker and the name
of a stream, and nothing about who answered. Where two workers overlap in one place (one
drains, its successor serves), counters are the successor's, which Prometheus takes for the
reset that it is, and gauges are the sum of both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bus.stream import StreamInfo
from relay.cluster.counters import Counter
from relay.version import relay_version
from workers.row_histogram import PAINT_LATENCY, SEND_DELAY, RowHistogram
from workers.table import Column, WorkerState, WorkerStats

__all__ = ["CONTENT_TYPE", "metrics_text"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_GAUGES: Final = (
    ("relay_connections", "Open connections.", Column.CONNECTIONS, 1.0),
    ("relay_viewers", "Viewers.", Column.VIEWERS, 1.0),
    ("relay_worker_gated", "1 while it lets others accept.", Column.GATED, 1.0),
    ("relay_publishers", "Remote publishers.", Column.PUBLISHERS, 1.0),
    ("relay_worker_full", "1 while it lacks descriptors for more connections.", Column.FULL, 1.0),
    ("relay_worker_cpu_cores", "Processor cores in use.", Column.CPU_MILLI, 0.001),
    ("relay_worker_resident_memory_bytes", "Resident memory.", Column.RSS, 1.0),
)
_COUNTERS: Final = (
    ("relay_worker_restarts", "Restarts after a death.", Column.RESTARTS),
    ("relay_frames_sent", "Frames sent to viewers.", Column.FRAMES_SENT),
    ("relay_bytes_sent", "Bytes sent to viewers.", Column.BYTES_SENT),
    ("relay_ring_records", "Records that workers read from rings.", Column.FRAMES_IN),
    ("relay_ring_bytes", "Bytes of these.", Column.BYTES_IN),
    ("relay_connections_accepted", "Connections accepted.", Column.ACCEPTED),
    ("relay_accept_errors", "Connections that failed on accept.", Column.ACCEPT_ERRORS),
    ("relay_websocket_handshakes", "WebSocket handshakes completed.", Column.HANDSHAKES),
    ("relay_http_requests", "Plain HTTP requests.", Column.HTTP_REQUESTS),
    ("relay_key_requests", "Key frames asked of publishers.", Column.KEY_REQUESTS),
    ("relay_viewer_decoded_frames", "Frames decoded, by viewers' reports.", Column.VIEWER_DECODED),
    ("relay_viewer_dropped_frames", "Frames dropped, by viewers' reports.", Column.VIEWER_DROPPED),
    ("relay_ring_lapped_records", "Ring records lost to lapping.", Column.LAPPED_RECORDS),
    ("relay_ring_corrupt_records", "Ring records with a bad checksum.", Column.CORRUPT_RECORDS),
)
_CLUSTER_GAUGES: Final = (
    ("relay_cluster_connected", "1 while the bridge reaches NATS.", Counter.CONNECTED, 1.0),
    ("relay_cluster_nodes", "Nodes that live, this one included.", Counter.NODES, 1.0),
    ("relay_cluster_remote_streams", "Streams of other nodes.", Counter.REMOTE_STREAMS, 1.0),
    ("relay_cluster_pulled_streams", "Those that have viewers here.", Counter.PULLED_STREAMS, 1.0),
    ("relay_cluster_sent_streams", "Streams that other nodes want.", Counter.SENT_STREAMS, 1.0),
    ("relay_cluster_round_trip_seconds", "To the NATS server and back.", Counter.RTT_US, 1e-6),
)
_CLUSTER_COUNTERS: Final = (
    ("relay_cluster_reconnects", "Connections to NATS made again.", Counter.RECONNECTS),
    ("relay_cluster_frames_sent", "Frames sent to other nodes.", Counter.FRAMES_SENT),
    ("relay_cluster_bytes_sent", "Bytes of these.", Counter.BYTES_SENT),
    ("relay_cluster_frames_received", "Frames taken of other nodes.", Counter.FRAMES_RECEIVED),
    ("relay_cluster_bytes_received", "Bytes of these.", Counter.BYTES_RECEIVED),
    ("relay_cluster_frames_dropped", "Frames too old to be sent.", Counter.DROPPED_SENDING),
    ("relay_cluster_frames_lost", "Frames that did not come.", Counter.LOST),
    ("relay_cluster_frames_corrupt", "Frames with a bad checksum.", Counter.CORRUPT),
    ("relay_cluster_frames_incomplete", "Frames with a missing piece.", Counter.INCOMPLETE),
    ("relay_cluster_key_requests", "Key frames asked for.", Counter.KEY_REQUESTS),
    ("relay_cluster_replays", "Groups of pictures sent to joining nodes.", Counter.REPLAYS),
    ("relay_cluster_slow_consumer_messages", "Dropped by the client.", Counter.SLOW_CONSUMERS),
    ("relay_cluster_lags", "Times that a stream came too slowly.", Counter.LAGGED),
    ("relay_cluster_conflicts", "Publishers that lost to an older claim.", Counter.CONFLICTS),
    ("relay_cluster_refusals", "Subjects that NATS refused.", Counter.REFUSED),
)
_LABELLED: Final = (
    (
        "relay_skips",
        "Skips of viewers to a newer key frame.",
        "cause",
        {
            "network": Column.SKIPPED_NETWORK,
            "decoder": Column.SKIPPED_DECODER,
            "hidden": Column.SKIPPED_HIDDEN,
            "worker": Column.SKIPPED_WORKER,
        },
    ),
    (
        "relay_refused",
        "Connections refused.",
        "reason",
        {
            "name": Column.REFUSED_NAME,
            "auth": Column.REFUSED_AUTH,
            "busy": Column.REFUSED_BUSY,
            "limit": Column.REFUSED_LIMIT,
            "request": Column.REFUSED_REQUEST,
            "protocol": Column.REFUSED_PROTOCOL,
            "tls": Column.REFUSED_TLS,
        },
    ),
    (
        "relay_closed",
        "Connections closed because the peer did not go on.",
        "reason",
        {"stalled": Column.CLOSED_STALLED, "silent": Column.CLOSED_SILENT},
    ),
)
_HISTOGRAMS: Final = (
    (
        "relay_viewer_paint_latency_seconds",
        "From capture to paint, one sample for each report of a viewer.",
        PAINT_LATENCY,
    ),
    (
        "relay_send_delay_seconds",
        "From a frame's arrival in a worker to its handing over to a viewer's socket.",
        SEND_DELAY,
    ),
)


def metrics_text(
    workers: Sequence[WorkerStats],
    streams: Sequence[StreamInfo],
    cluster: Mapping[Counter, int] | None = None,
) -> bytes:
    """Body of ``/metrics``.

    Args:
        workers: rows in use, by place and generation.
        streams: a look at every stream.
        cluster: the bridge's numbers; None: there is no bridge.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(workers, streams, cluster))
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(
        self,
        workers: Sequence[WorkerStats],
        streams: Sequence[StreamInfo],
        cluster: Mapping[Counter, int] | None,
    ) -> None:
        self._workers = workers
        self._streams = streams
        self._cluster = cluster

    def collect(self) -> Iterator[Metric]:
        yield from _about_relay(self._workers)
        yield from _about_workers(self._workers)
        yield from _about_streams(self._streams)
        if self._cluster is not None:
            yield from _about_cluster(self._cluster)


def _about_relay(workers: Sequence[WorkerStats]) -> Iterator[Metric]:
    info = InfoMetricFamily("relay_build", "Version and engine.")
    engine = next((row.engine for row in workers if row.engine), "")
    info.add_metric([], {"version": relay_version(), "engine": engine})
    yield info
    expiries = [row[Column.CERTIFICATE_EXPIRES] for row in workers]
    if any(expiries):
        yield GaugeMetricFamily(
            "relay_certificate_expiry_timestamp_seconds",
            "When clients begin to refuse the TLS certificate.",
            min(filter(None, expiries)),
        )
    serving = [row[Column.CONNECTIONS] for row in workers if row.state is WorkerState.READY]
    if serving:
        yield GaugeMetricFamily(
            "relay_connections_balance_ratio",
            "Most connections of a serving worker to fewest, of which at least one is assumed.",
            max(serving) / max(1, min(serving)),
        )
    states = GaugeMetricFamily("relay_workers", "Worker processes by state.", labels=["state"])
    for state in WorkerState:
        if state is not WorkerState.FREE:
            count = sum(row.state is state for row in workers)
            states.add_metric([state.name.lower()], count)
    yield states


def _about_workers(workers: Sequence[WorkerStats]) -> Iterator[Metric]:
    # Rows come by generation, so the newest of a place wins.
    newest = {row[Column.SLOT]: row for row in workers}
    for name, text, column, scale in _GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=["worker"])
        for slot in newest:
            total = sum(row[column] for row in workers if row[Column.SLOT] == slot)
            gauge.add_metric([str(slot)], total * scale)
        yield gauge
    age = GaugeMetricFamily(
        "relay_worker_heartbeat_age_seconds", "Time since its last sign of life.", labels=["worker"]
    )
    for slot, row in newest.items():
        age.add_metric([str(slot)], max(row.heartbeat_age, 0.0))
    yield age
    engines = InfoMetricFamily("relay_worker", "How it sends.", labels=["worker"])
    for slot, row in newest.items():
        engines.add_metric([str(slot)], {"engine": row.engine})
    yield engines
    for name, text, histogram in _HISTOGRAMS:
        yield _histogram(name, text, histogram, newest)
    for name, text, column in _COUNTERS:
        counter = CounterMetricFamily(name, text, labels=["worker"])
        for slot, row in newest.items():
            counter.add_metric([str(slot)], row[column])
        yield counter
    for name, text, label, columns in _LABELLED:
        counter = CounterMetricFamily(name, text, labels=["worker", label])
        for slot, row in newest.items():
            for value, column in columns.items():
                counter.add_metric([str(slot), value], row[column])
        yield counter


def _histogram(name: str, text: str, of: RowHistogram, newest: Mapping[int, WorkerStats]) -> Metric:
    histogram = HistogramMetricFamily(name, text, labels=["worker"])
    bounds = [*map(str, of.bounds), "+Inf"]
    for slot, row in newest.items():
        counts = itertools.accumulate(row[column] for column in of.columns)
        buckets = list(zip(bounds, map(float, counts), strict=True))
        histogram.add_metric([str(slot)], buckets, row[of.total] / 1e6)
    return histogram


def _about_cluster(numbers: Mapping[Counter, int]) -> Iterator[Metric]:
    for name, text, counter, scale in _CLUSTER_GAUGES:
        yield GaugeMetricFamily(name, text, numbers[counter] * scale)
    for name, text, counter in _CLUSTER_COUNTERS:
        yield CounterMetricFamily(name, text, numbers[counter])


def _about_streams(streams: Iterable[StreamInfo]) -> Iterator[Metric]:
    label = ["stream"]
    live = GaugeMetricFamily("relay_stream_live", "1 while it has a publisher.", labels=label)
    viewers = GaugeMetricFamily("relay_stream_viewers", "Viewers.", labels=label)
    fps = GaugeMetricFamily("relay_stream_frames_per_second", "Frame rate.", labels=label)
    rate = GaugeMetricFamily("relay_stream_bytes_per_second", "Byte rate.", labels=label)
    epoch = GaugeMetricFamily("relay_stream_epoch", "Number of its publisher.", labels=label)
    frames = CounterMetricFamily("relay_stream_frames", "Frames published.", labels=label)
    keys = CounterMetricFamily("relay_stream_key_frames", "Key frames published.", labels=label)
    octets = CounterMetricFamily("relay_stream_bytes", "Bytes published.", labels=label)
    for each in streams:
        name = [each.name]
        live.add_metric(name, each.live)
        viewers.add_metric(name, each.viewers)
        fps.add_metric(name, each.fps)
        rate.add_metric(name, each.bitrate / 8)
        epoch.add_metric(name, each.epoch)
        frames.add_metric(name, each.frames)
        keys.add_metric(name, each.key_frames)
        octets.add_metric(name, each.bytes)
    yield from (live, viewers, fps, rate, epoch, frames, keys, octets)
