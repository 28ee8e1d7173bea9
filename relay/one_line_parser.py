"""A command-line parser whose complaints are one line each, as all errors of the commands."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = ["OneLineParser"]


class OneLineParser(argparse.ArgumentParser):
    """As its base, but a mistake is answered without the usage, which ``--help`` shows."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and leave with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")
