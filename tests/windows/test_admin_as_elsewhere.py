"""Viewer tables and the admin API on Windows: tests of `tests.e2e.test_admin`."""

from __future__ import annotations

from tests.e2e.test_admin import (
    crowd,
    relay,
    test_a_remote_publisher_is_stopped,
    test_a_viewer_is_kicked_wherever_it_is,
    test_a_worker_is_drained_until_it_is_wanted_again,
    test_viewers_of_all_workers_are_listed,
)

__all__ = [
    "crowd",
    "relay",
    "test_a_remote_publisher_is_stopped",
    "test_a_viewer_is_kicked_wherever_it_is",
    "test_a_worker_is_drained_until_it_is_wanted_again",
    "test_viewers_of_all_workers_are_listed",
]
