"""TLS in a relay on Windows: tests of `tests.e2e.test_tls`, with this folder's relay."""

from __future__ import annotations

from tests.e2e.test_tls import (
    pair,
    relay,
    test_a_certificate_that_cannot_be_used_changes_nothing,
    test_a_renewed_certificate_reaches_newcomers_and_disturbs_nobody,
    test_a_stalled_viewer_is_closed_and_costs_nobody,
    test_frames_come_whole_and_in_order,
    test_it_stops_in_order,
    test_peers_that_break_tls_are_counted,
)

__all__ = [
    "pair",
    "relay",
    "test_a_certificate_that_cannot_be_used_changes_nothing",
    "test_a_renewed_certificate_reaches_newcomers_and_disturbs_nobody",
    "test_a_stalled_viewer_is_closed_and_costs_nobody",
    "test_frames_come_whole_and_in_order",
    "test_it_stops_in_order",
    "test_peers_that_break_tls_are_counted",
]
