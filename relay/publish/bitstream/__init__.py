"""What encoded video looks like as bytes: headers, units, key frames, codec strings.

Pure functions and small state machines over bytes; no PyAV, no numpy, no I/O.
"""
