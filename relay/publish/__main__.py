"""``python -m relay.publish``: the same as the command ``relay-publish``."""

from __future__ import annotations

import sys

from relay.cli.publish import main

if __name__ == "__main__":
    sys.exit(main())
