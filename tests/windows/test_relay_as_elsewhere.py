"""Tests of the relay that ask for nothing of its system, here of a relay on Windows.

They are those of `tests.e2e`; the fixtures they ask for are this folder's.
"""

from __future__ import annotations

from tests.e2e.test_crash import (
    test_worker_killed_amid_a_burst_of_connections,
    test_worker_of_a_remote_publisher_killed,
)
from tests.e2e.test_leaving import test_f5_storm_leaves_nothing_and_disturbs_nobody
from tests.e2e.test_slow_viewers import (
    test_slow_viewer_gets_current_frames_and_a_stopped_one_is_closed,
)
from tests.e2e.test_stopping import (
    test_rolling_restart_under_load_refuses_nobody,
    test_stop_does_not_wait_for_those_who_do_not_answer,
)

__all__ = [
    "test_f5_storm_leaves_nothing_and_disturbs_nobody",
    "test_rolling_restart_under_load_refuses_nobody",
    "test_slow_viewer_gets_current_frames_and_a_stopped_one_is_closed",
    "test_stop_does_not_wait_for_those_who_do_not_answer",
    "test_worker_killed_amid_a_burst_of_connections",
    "test_worker_of_a_remote_publisher_killed",
]
