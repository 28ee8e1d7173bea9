"""This relay as its users start it, published to through shared memory."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields

from relay.settings import ServerSettings
from relay.version import relay_version

__all__ = ["run_relay"]


def run_relay(engine: str) -> None:
    """Tell of the relay, or become it."""
    choices = next(f.metadata["choices"] for f in fields(ServerSettings) if f.name == "engine")
    if engine not in choices:
        sys.exit(f"this relay has no engine {engine}")
    if sys.argv[1:] == ["--about"]:
        about = {"name": f"relay, {engine}", "version": relay_version(), "group": "relay"}
        print(json.dumps({**about, "workers": "own", "feed": "shm", "ready": True}))
        return
    port, workers = sys.argv[1:]
    module = [sys.executable, "-m", "relay.cli.supervisor"]
    options = ["--port", port, "--workers", workers, "--engine", engine]
    instance = ["--instance", f"bench-{port}", "--log-level", "warning"]
    os.execv(sys.executable, [*module, *options, *instance])
