"""Measurements, each a command of its own; none of them is a test.

Every figure is a ratio against a peer or a floor in the same run. Rounds are interleaved and
medians quoted, since a busy machine drifts more than most differences.
"""
