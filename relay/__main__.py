"""``python -m relay`` is ``relay-supervisor``."""

from __future__ import annotations

import sys

from relay.cli.supervisor import main

if __name__ == "__main__":
    sys.exit(main())
