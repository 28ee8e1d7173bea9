"""What tests of deploy/ share."""

from __future__ import annotations

from tests.e2e.conftest import start_relay

__all__ = ["start_relay"]
