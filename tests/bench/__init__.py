"""Measurements beside peers and a floor; `python -m tests.bench` runs them.

Every figure is a ratio against a peer or a floor in the same run. Rounds are interleaved and
medians quoted, since a busy machine drifts more than most differences. The test in here only
holds that measuring works.
"""
