"""A guest that looks at a relay as relay-top does, without a terminal."""

from __future__ import annotations

import contextlib

from relay.cli.top import look
from relay.top.client import AdminClient
from relay.top.screen import TopScreen
from relay.top.sheets import Rates
from workers.table import WorkerTable

__all__ = ["show"]


async def show(instance: str) -> str:
    """What is on its screen of 80 columns, as text."""
    rates = Rates()
    with contextlib.closing(WorkerTable.attach(instance)) as table:
        app = TopScreen(lambda: look(instance, table, rates), AdminClient(table.url, ""))
        async with app.run_test(size=(80, 24)):
            return "\n".join(strip.text for strip in app.screen._compositor.render_strips())
