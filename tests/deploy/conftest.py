"""What tests of deploy/ share."""

from __future__ import annotations

from tests.e2e.conftest import publish, start_relay

__all__ = ["publish", "start_relay"]
