"""``python -m tests.relay.fake_relay INSTANCE SETTINGS``: a supervisor of fake workers.

SETTINGS is a JSON file ``{section: {option: value}}``, read at the start and at SIGHUP.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from relay.cli.supervisor import run
from relay.config import Config
from relay.errors import ConfigError
from tests.relay.fake_worker import fake_worker

__all__ = ["main"]


def main(instance: str, settings: str) -> int:
    """Run until told to stop."""

    def read() -> Config:
        try:
            sections = json.loads(Path(settings).read_text())
        except ValueError as exc:
            raise ConfigError(f"settings: {exc}") from None
        config = Config()
        for name, values in sections.items():
            config = replace(config, **{name: replace(getattr(config, name), **values)})
        return replace(config, server=replace(config.server, instance=instance, port=0))

    return run(read, fake_worker)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
