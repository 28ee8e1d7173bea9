"""Tests that run in a Windows Python themselves; `tests.windows.test_suites` runs them there."""
