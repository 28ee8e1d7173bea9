"""Settings of the bus's tests."""

from __future__ import annotations

from hypothesis import settings

# No test asserts a maximum time; the runner's timeout is the watchdog.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
