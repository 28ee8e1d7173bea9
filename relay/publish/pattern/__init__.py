"""The built-in `demo` picture: a moving test pattern with clock and frame number.

`Pattern` draws it, `read_frame_number` reads the number back out of a decoded picture.
Needs numpy; knows nothing of encoders, streams or time beyond what it is given.
"""

from __future__ import annotations

from relay.publish.pattern.drawing import Pattern
from relay.publish.pattern.strip import read_frame_number

__all__ = ["Pattern", "read_frame_number"]
