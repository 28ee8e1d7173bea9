"""The metrics, read back with Prometheus' own parser."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay import metrics
from relay.metrics import metrics_text
from tests.relay.factories import stream_info, worker_stats
from workers.row_histogram import PAINT_LATENCY, SEND_DELAY
from workers.table import Column, WorkerState

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: bytes) -> Samples:
    """Values by name and labels."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def of(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def test_workers() -> None:
    found = samples(
        metrics_text(
            [
                worker_stats({"slot": 0, "viewers": 3, "frames_sent": 9}),
                worker_stats({"slot": 1, "cpu_milli": 250}),
            ],
            [],
        )
    )
    assert of(found, "relay_viewers", worker="0") == 3
    assert of(found, "relay_frames_sent_total", worker="0") == 9
    assert of(found, "relay_worker_cpu_cores", worker="1") == 0.25
    assert of(found, "relay_workers", state="ready") == 2
    assert of(found, "relay_workers", state="draining") == 0


def test_every_cause_and_reason_has_its_own_series() -> None:
    columns = [each for each in Column if each.name.startswith(("SKIPPED_", "REFUSED_", "CLOSED_"))]
    row = worker_stats({each.name.lower(): int(each) for each in columns})
    found = samples(metrics_text([row], []))
    for column in columns:
        family, _, value = column.name.lower().partition("_")
        name, label = ("skips", "cause") if family == "skipped" else (family, "reason")
        assert of(found, f"relay_{name}_total", worker="0", **{label: value}) == column


def test_workers_that_overlap_share_a_label() -> None:
    old = worker_stats({"generation": 1, "viewers": 3, "frames_sent": 90}, WorkerState.DRAINING)
    new = worker_stats({"slot": 0, "generation": 2, "viewers": 1, "frames_sent": 2})
    found = samples(metrics_text([old, new], []))
    assert of(found, "relay_viewers", worker="0") == 4
    assert of(found, "relay_frames_sent_total", worker="0") == 2


def test_latencies_are_a_cumulative_histogram() -> None:
    row = worker_stats({"latency_0": 3, "latency_2": 4, "latency_10": 1, "latency_us": 2_500_000})
    found = samples(metrics_text([row], []))
    name = "relay_viewer_paint_latency_seconds"
    expected = {"0.02": 3, "0.05": 3, "0.1": 7, "5.0": 7, "+Inf": 8}
    assert {le: of(found, f"{name}_bucket", worker="0", le=le) for le in expected} == expected
    assert of(found, f"{name}_count", worker="0") == 8
    assert of(found, f"{name}_sum", worker="0") == 2.5


def test_streams() -> None:
    found = samples(
        metrics_text([], [stream_info("a"), stream_info("b", live=False, metadata=None)])
    )
    assert of(found, "relay_stream_live", stream="a") == 1
    assert of(found, "relay_stream_live", stream="b") == 0
    assert of(found, "relay_stream_frames_total", stream="a") == 100
    assert of(found, "relay_stream_bytes_per_second", stream="a") == 50_000


@pytest.mark.parametrize("column", Column, ids=lambda column: column.name)
def test_every_column_that_counts_is_shown(column: Column) -> None:
    identity = {"STATE", "SLOT", "PID", "GENERATION", "STARTED_NS", "HEARTBEAT_NS", "ENGINE"}
    internal = {"BELL"}
    shown = {entry[2] for entry in (*metrics._GAUGES, *metrics._COUNTERS)}
    shown |= {each for entry in metrics._LABELLED for each in entry[3].values()}
    for histogram in (PAINT_LATENCY, SEND_DELAY):
        shown |= {histogram.total, *histogram.columns}
    shown.add(Column.CERTIFICATE_EXPIRES)
    assert (column in shown) is not (column.name in identity | internal)


def test_the_certificate_that_ends_first() -> None:
    """Workers differ for a moment after a renewal; without TLS there is none."""
    name = "relay_certificate_expiry_timestamp_seconds"
    rows = [worker_stats({"slot": n, "certificate_expires": at}) for n, at in enumerate((0, 9, 5))]
    assert f"\n{name} 5.0\n" in metrics_text(rows, []).decode()
    assert name not in metrics_text(rows[:1], []).decode()


def test_send_delays_are_a_histogram_of_their_own() -> None:
    row = worker_stats({"send_delay_1": 5, "send_delay_11": 1, "send_delay_us": 3_000_000})
    found = samples(metrics_text([row], []))
    name = "relay_send_delay_seconds"
    assert of(found, f"{name}_bucket", worker="0", le="0.0005") == 0
    assert of(found, f"{name}_bucket", worker="0", le="0.001") == 5
    assert of(found, f"{name}_bucket", worker="0", le="1.0") == 5
    assert of(found, f"{name}_count", worker="0") == 6
    assert of(found, f"{name}_sum", worker="0") == 3.0


def test_balance_of_those_that_serve() -> None:
    name = "relay_connections_balance_ratio"
    counts = [
        worker_stats({"slot": 0, "connections": 30}),
        worker_stats({"slot": 1, "connections": 20}),
        worker_stats({"slot": 2, "connections": 1}, WorkerState.DRAINING),
    ]
    assert f"\n{name} 1.5\n" in metrics_text(counts, []).decode()
    assert f"\n{name} 0.0\n" in metrics_text([worker_stats({})], []).decode()
    assert name not in metrics_text([], []).decode()
